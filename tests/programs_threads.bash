# shellcheck shell=bash
# programs_threads.bash - as programs.bash, of programs that have threads.

# shellcheck disable=SC2034 # for the soak script
PROGRAMS_THREADS=(threaded_python xz openmp node javac java_gc)

program_threaded_python() {
    make_words 20 >words
    cat >work.py <<'END'
import concurrent.futures, hashlib, threading
lines, lock, done = open("words").readlines(), threading.RLock(), []
def work(n):
    total = hashlib.sha256()
    for line in lines[n::8]:
        for word in line.split():
            total.update(word.encode() * 3)
        with lock:
            done.append(n)
    return total.hexdigest()
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    for result in pool.map(work, range(8)):
        print(result)
print(sorted(done) == sorted(n % 8 for n in range(len(lines))))
END
    COMMAND=("$PYTHON" work.py)
    RESULTS=(out)
}

# Its threads block every signal.
program_xz() {
    make_words 4 >words
    COMMAND=(xz -T2 --block-size=400KiB -c words)
    RESULTS=(out)
}

program_openmp() {
    cat >work.c <<'END'
#include <stdio.h>
int main(void)
{
    for (int round = 0; round < 40; round++) {
        unsigned long sum = 0;
#pragma omp parallel for reduction(+ : sum) num_threads(4) schedule(dynamic)
        for (int i = 0; i < 400; i++) {
            unsigned long x = (unsigned long)(i + round);
            for (int n = 0; n < 100000; n++)
                x = x * 6364136223846793005UL + 1442695040888963407UL;
            sum += x;
        }
        printf("%lu\n", sum);
    }
    return 0;
}
END
    gcc -O2 -fopenmp work.c -o work || return 1
    COMMAND=("$PWD/work")
    RESULTS=(out)
}

program_node() {
    cat >work.js <<'END'
const { Worker, isMainThread, parentPort, workerData } = require("worker_threads");
const crypto = require("crypto"), fs = require("fs");
if (isMainThread) {
    let results = [], left = 3;
    for (let n = 0; n < 3; n++)
        new Worker(__filename, { workerData: n }).on("message", (text) => {
            results[n] = text;
            if (--left == 0) fs.writeFileSync("result", results.join("\n"));
        });
} else {
    let text = "" + workerData, kept = new Map();
    for (let i = 0; i < 200000; i++) {
        text = crypto.createHash("sha256").update(text).digest("hex");
        kept.set(text.slice(0, 3), { text, i });
    }
    parentPort.postMessage([...kept.keys()].sort().map((k) => kept.get(k).text).join());
}
END
    COMMAND=(node work.js)
    RESULTS=(result)
}

# The compiler is a Java program of some 200000 lines; what it reads has 6000.
program_javac() {
    awk 'BEGIN { print "import java.util.*; public class Big {"
        for (i = 0; i < 1000; i++) {
            printf " static <T extends Comparable<T>> List<T> f%d(Map<String, List<T>> m, T x) {\n", i
            printf "  List<T> r = new ArrayList<>(m.getOrDefault(\"%d\", List.of())); r.add(x);\n", i
            printf "  r.sort((a, b) -> a.compareTo(b) * %d); return r;\n }\n", i % 2 ? 1 : -1
        }
        print "}" }' >Big.java
    COMMAND=(javac Big.java)
    RESULTS=(Big.class)
}

program_java_gc() {
    cat >Garbage.java <<'END'
import java.util.*;
public class Garbage {
    public static void main(String[] args) throws Exception {
        long[] sums = new long[3];
        Thread[] threads = new Thread[3];
        for (int t = 0; t < 3; t++) {
            final int n = t;
            threads[t] = new Thread(() -> {
                Map<Integer, byte[]> kept = new LinkedHashMap<>();
                for (int i = 0; i < 800000; i++) {
                    byte[] piece = new byte[100 + (int) ((i * 7919L + n) % 4000)];
                    piece[0] = (byte) i;
                    kept.put(i % 1009, piece);
                    sums[n] = sums[n] * 31 + kept.get((i * 13) % Math.min(i + 1, 1009))[0];
                }
            });
            threads[t].start();
        }
        for (Thread t : threads) t.join();
        System.out.println(Arrays.toString(sums));
    }
}
END
    javac Garbage.java || return 1
    COMMAND=(java -Xmx64m Garbage)
    RESULTS=(out)
}
