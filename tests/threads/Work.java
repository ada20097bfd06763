import java.nio.file.*;
import java.security.*;
import java.util.*;
import java.util.concurrent.*;

/** Threads that compute, make garbage, synchronise, sleep and read and write files, until $STOP exists; each checks its own results. */
public class Work {
    static final Path STOP = Path.of(System.getenv("STOP"));
    static final Queue<String> wrong = new ConcurrentLinkedQueue<>();

    interface Check { boolean run() throws Exception; }

    static boolean stopped() { return Files.exists(STOP); }

    static Callable<Void> repeat(String name, Check check) {
        return () -> {
            while (!stopped() && wrong.isEmpty()) {
                try {
                    if (!check.run()) wrong.add(name);
                } catch (Exception e) {
                    wrong.add(name + ": " + e);
                }
            }
            return null;
        };
    }

    static byte[] digest(int rounds) throws Exception {
        MessageDigest sha = MessageDigest.getInstance("SHA-256");
        byte[] value = { 7 };
        for (int i = 0; i < rounds; i++) value = sha.digest(value);
        return value;
    }

    static Object[] tree(int depth) {
        return depth == 0 ? new Object[2] : new Object[] { tree(depth - 1), tree(depth - 1) };
    }

    static int count(Object[] tree) {
        return tree[0] == null ? 1 : 1 + count((Object[]) tree[0]) + count((Object[]) tree[1]);
    }

    static boolean mapCounts() {
        ConcurrentHashMap<Integer, Integer> map = new ConcurrentHashMap<>();
        java.util.stream.IntStream.range(0, 20000).parallel().forEach(i -> map.merge(i % 100, 1, Integer::sum));
        return map.values().stream().allMatch(n -> n == 200);
    }

    /** The virtual machine catches SIGSEGV and makes this exception of it. */
    static boolean nullIsCaught(Object[] nothing) {
        try {
            return nothing[0] == null && false;
        } catch (NullPointerException e) {
            return true;
        }
    }

    static boolean sleeps() throws Exception {
        long begun = System.nanoTime();
        Thread.sleep(20);
        return System.nanoTime() - begun >= 19_000_000;
    }

    static boolean waits() throws Exception {
        Object monitor = new Object();
        long begun = System.nanoTime();
        synchronized (monitor) { monitor.wait(20); }
        return System.nanoTime() - begun >= 19_000_000;
    }

    static boolean files() throws Exception {
        Path file = Files.createTempFile(STOP.getParent(), "work", ".txt");
        Files.writeString(file, "content");
        boolean same = Files.readString(file).equals("content");
        Files.delete(file);
        return same;
    }

    public static void main(String[] arguments) throws Exception {
        byte[] expected = digest(20000);
        List<Callable<Void>> work = List.of(
            repeat("digest", () -> Arrays.equals(digest(20000), expected)),
            repeat("tree", () -> count(tree(14)) == (1 << 15) - 1),
            repeat("map", Work::mapCounts),
            repeat("null", () -> nullIsCaught(null)),
            repeat("sleep", Work::sleeps),
            repeat("wait", Work::waits),
            repeat("file", Work::files));
        ExecutorService pool = Executors.newFixedThreadPool(work.size());
        System.out.println("ready");
        for (Future<Void> end : pool.invokeAll(work)) end.get();
        pool.shutdown();
        System.out.println(wrong.isEmpty() ? "OK" : String.join("\n", wrong));
        System.exit(wrong.isEmpty() ? 0 : 1);
    }
}
