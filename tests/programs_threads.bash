# shellcheck shell=bash
# programs_threads.bash - as programs.bash, of programs that have threads.

# shellcheck disable=SC2034 # for the soak script
PROGRAMS_THREADS=(threaded_python xz openmp node javac java_gc java_net)

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

# The compiler is a Java program of some 200000 lines; what it reads has 1600.
program_javac() {
    awk 'BEGIN { print "import java.util.*; public class Big {"
        for (i = 0; i < 400; i++) {
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

# A client of a server that lives as long as the test: it gets as many bytes as it asks for, computes what they must be, and
# keeps them in a file, of which it reads other parts again. Most of the time it is not connected.
program_java_net() {
    cat >server.py <<'END'
import os, socketserver
def body(n):
    value, out = n, bytearray()
    for i in range(3000 + n % 5000):
        value = (value * 1103515245 + 12345) & 0x7fffffff
        out.append(value >> 16 & 0xff)
    return bytes(out)
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(body(int(line)))
            self.wfile.flush()
class Server(socketserver.ThreadingTCPServer):
    daemon_threads, allow_reuse_address = True, True
with Server(("127.0.0.1", 0), Handler) as server:
    with open("port.new", "w") as f: print(server.server_address[1], file=f)
    os.rename("port.new", "port")
    server.serve_forever()
END
    cat >Net.java <<'END'
import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.security.*;
public class Net {
    static byte[] body(int n) {
        byte[] out = new byte[3000 + n % 5000];
        long value = n;
        for (int i = 0; i < out.length; i++) {
            value = (value * 1103515245L + 12345) & 0x7fffffff;
            out[i] = (byte) (value >> 16);
        }
        return out;
    }
    static void check(boolean right, String what) { if (!right) throw new IllegalStateException(what); }
    static byte[] fetch(Socket s, int n) throws IOException {
        s.getOutputStream().write((n + "\n").getBytes());
        return s.getInputStream().readNBytes(3000 + n % 5000);
    }
    public static void main(String[] args) throws Exception {
        int port = Integer.parseInt(Files.readString(Path.of("port")).trim()), length = 0;
        MessageDigest all = MessageDigest.getInstance("SHA-256");
        try (RandomAccessFile file = new RandomAccessFile("kept", "rw")) {
            for (int n = 0; n < 300; n++) {
                byte[] one, two;
                try (Socket s = new Socket("127.0.0.1", port)) {
                    one = fetch(s, n);
                    two = fetch(s, n + 7);
                }
                check(java.util.Arrays.equals(one, body(n)) && java.util.Arrays.equals(two, body(n + 7)), "reply " + n);
                file.seek(length);
                file.write(one);
                length += one.length;
                byte[] again = new byte[one.length];
                file.seek(length - one.length);
                file.readFully(again);
                check(java.util.Arrays.equals(one, again), "file " + n);
                all.update(two);
                for (int i = 0; i < 20000; i++) all.update(again, i % 1000, 100);
            }
        }
        System.out.println(length + " " + new java.math.BigInteger(1, all.digest()));
    }
}
END
    javac Net.java || return 1
    program_server
    COMMAND=(java Net)
    RESULTS=(out kept)
}

# The server writes the number of its port to the file `port`. The one before ends.
program_server() {
    [ -z "${SERVER:-}" ] || kill "$SERVER" 2>/dev/null
    (close_inherited && exec "$PYTHON" server.py) </dev/null >/dev/null 2>&1 3>&- &
    SERVER=$!
    started "$SERVER"
    wait_until test -s port
}
