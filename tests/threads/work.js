// Worker threads that compute, and an event loop with timers and files, until $STOP exists; each checks its own results.
const { Worker, isMainThread, parentPort } = require('worker_threads');
const crypto = require('crypto'), fs = require('fs');

const stopped = () => fs.existsSync(process.env.STOP);

function digest(rounds) {
    let value = 'x';
    for (let i = 0; i < rounds; i++) value = crypto.createHash('sha256').update(value).digest('hex');
    return value;
}

const expected = digest(1000);

function main() {
    const wrong = [];
    let running = 3;
    const end = () => {
        if (--running) return;
        console.log(wrong.length ? wrong.join('\n') : 'OK');
        process.exitCode = wrong.length ? 1 : 0;
    };
    for (let i = 0; i < 2; i++)
        new Worker(__filename)
            .on('message', m => m === expected || wrong.push('worker: ' + m))
            .on('error', e => wrong.push('worker: ' + e))
            .on('exit', end);
    const timer = setInterval(() => { // through the thread pool
        crypto.pbkdf2('secret', 'salt', 1000, 16, 'sha256', e => e && wrong.push('pbkdf2: ' + e));
        fs.readFile(__filename, (e, data) => (e || data.length === 0) && wrong.push('file: ' + e));
        if (stopped()) {
            clearInterval(timer);
            end();
        }
    }, 5);
    console.log('ready');
}

function worker() {
    while (!stopped()) parentPort.postMessage(digest(1000));
}

(isMainThread ? main : worker)();
