// perl, python3, a static Go program, openssl.

import { execFileSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { hostAndSandbox } from '../support/compare.ts';
import { testPlatform } from '../support/platform.ts';

const python = (code: string): string => `/usr/bin/python3 - <<'END_OF_CODE'\n${code}\nEND_OF_CODE\n`;
/** Compiles main.go to a static program, on the host. */
function build(directory: string, cache: string): void {
  const env = { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=mod', GO111MODULE: 'off', GOCACHE: cache };
  execFileSync('go', ['build', '-o', 'prog', 'main.go'], { cwd: directory, env });
}

const long = { timeout: 150_000 };

describe('perl', () => {
  test('text, files, pipes, fork, signals', async () => {
    const code = String.raw`
      use strict; use warnings; use POSIX; use File::Find; use Fcntl ':flock'; use Digest::MD5 'md5_hex'; use Storable 'dclone'; $| = 1;
      my %h; $h{$_ % 7}++ for 1..100; print join(",", map { "$_=$h{$_}" } sort keys %h), "\n";
      open my $p, '-|', 'seq 5' or die; my @l = <$p>; close $p; print scalar(@l), " $?\n";
      my $pid = fork; if (!$pid) { exit 5 } waitpid $pid, 0; print $? >> 8, "\n";
      local $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; select undef, undef, undef, 5; 
      pipe my $r, my $w; if (!fork) { print $w "child\n"; close $w; POSIX::_exit(0) } close $w; print <$r>; wait;
      open my $f, '>', 'lock'; flock $f, LOCK_EX; print md5_hex('abc'), "\n"; mkdir "d$_" for 1..3;
      my $n = 0; find(sub { $n++ }, '.'); print "$n\n"; (my $t = "a1b2") =~ s/(\d)/<$1>/g; print "$t\n";
      printf "%s\n", strftime('%F', gmtime 0);`;
    await hostAndSandbox(`perl - <<'END_OF_CODE'\n${code}\nEND_OF_CODE\n`);
  });
});

describe('python3', () => {
  test('subprocess', async () => {
    await hostAndSandbox(
      python(`
import subprocess, sys, os, signal
print(subprocess.run(['echo', 'hi'], capture_output=True, text=True).stdout, end='')
p = subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE);
print(p.communicate(b'x' * 200000)[0].count(b'x'), p.returncode)
print(subprocess.run('exit 7', shell=True).returncode, subprocess.run(['sh', '-c', 'kill -9 $$']).returncode)
try: subprocess.run(['sleep', '10'], timeout=0.2)
except subprocess.TimeoutExpired: print('timeout')
try: subprocess.run(['/no/such'])
except FileNotFoundError as e: print(e.errno)
code = 'import os; print(os.environ["X"], os.getcwd() == os.path.realpath("/"))'
print(subprocess.run([sys.executable, '-c', code], env={'X': 'y'}, cwd='/', capture_output=True).stdout)
ps = [subprocess.Popen(['sh', '-c', f'exit {i}'], start_new_session=True) for i in range(20)]; print([p.wait() for p in ps])
`),
    );
  });

  test('threading and queues', async () => {
    await hostAndSandbox(
      python(`
import threading, queue, concurrent.futures, time
q = queue.Queue(); out = []; lock = threading.Lock()
def work():
    while (n := q.get()) is not None:
        with lock: out.append(n * n)
ts = [threading.Thread(target=work) for _ in range(16)]; [t.start() for t in ts]
[q.put(i) for i in range(1000)]; [q.put(None) for _ in ts]; [t.join() for t in ts]; print(sum(out), len(out))
e = threading.Event(); t = threading.Timer(0.05, e.set); t.start(); print(e.wait(5))
with concurrent.futures.ThreadPoolExecutor(8) as ex: print(sum(ex.map(lambda x: x * 2, range(500))))
c = threading.Condition(); print(c.acquire(), c.wait(0.05)); b = threading.Barrier(2, timeout=5);
threading.Thread(target=b.wait).start(); b.wait(); print('barrier')
`),
    );
  });

  test('multiprocessing', long, async () => {
    await hostAndSandbox('cat > m.py && /usr/bin/python3 m.py', {
      input: `
import multiprocessing as mp, os
def sq(x): return x * x
def put(q, v, n): q.put(n); v.value += n
if __name__ == '__main__':
    for method in ('fork', 'spawn', 'forkserver'):
        ctx = mp.get_context(method)
        with ctx.Pool(3) as p: print(method, sum(p.map(sq, range(200))))
    q = mp.Queue(); v = mp.Value('i', 0); ps = [mp.Process(target=put, args=(q, v, i)) for i in range(5)]
    [p.start() for p in ps]; print(sorted(q.get() for _ in ps)); [p.join() for p in ps]; print([p.exitcode for p in ps])
    a, b = mp.Pipe(); p = mp.Process(target=lambda: None); b.send({'k': [1, 2]}); print(a.recv())
    from multiprocessing import shared_memory; s = shared_memory.SharedMemory(create=True, size=100); s.buf[:3] = b'abc';
    t = shared_memory.SharedMemory(name=s.name); print(bytes(t.buf[:3])); t.close(); s.close(); s.unlink()
`,
      timeout: 100_000,
    });
  });

  test('asyncio with sockets and subprocesses', async () => {
    await hostAndSandbox(
      python(`
import asyncio, signal, os
async def main():
    async def serve(r, w):
        w.write((await r.readline()).upper()); await w.drain(); w.close()
    s = await asyncio.start_server(serve, '127.0.0.1', 0); port = s.sockets[0].getsockname()[1]
    async def ask(i):
        r, w = await asyncio.open_connection('127.0.0.1', port); w.write(b'hello %d\\n' % i); x = await r.read(); w.close(); return x
    print(await asyncio.gather(*[ask(i) for i in range(20)]))
    u = await asyncio.start_unix_server(serve, 'sock'); r, w = await asyncio.open_unix_connection('sock'); w.write(b'unix\\n');
    print(await r.read())
    p = await asyncio.create_subprocess_exec('cat', stdin=-1, stdout=-1); print((await p.communicate(b'data'))[0], p.returncode)
    loop = asyncio.get_running_loop(); f = loop.create_future(); loop.add_signal_handler(signal.SIGUSR1, f.set_result, 'signal');
    os.kill(os.getpid(), signal.SIGUSR1); print(await f)
    try: await asyncio.wait_for(asyncio.sleep(10), 0.05)
    except asyncio.TimeoutError: print('timeout')
    print(await loop.run_in_executor(None, os.getpid) == os.getpid())
asyncio.run(main())
`),
    );
  });

  test('mmap, os, tempfile, select, ctypes', async () => {
    await hostAndSandbox(
      python(`
import mmap, os, tempfile, select, socket, fcntl, resource, time, ctypes, stat, shutil, glob, pwd
f = tempfile.TemporaryFile(); f.truncate(100000); m = mmap.mmap(f.fileno(), 0); m[50000:50005] = b'hello'; m.flush();
f.seek(50000); print(f.read(5), m.find(b'hello')); m.resize(200000); print(len(m))
a = mmap.mmap(-1, 4096); pid = os.fork()
if pid == 0: a[0:5] = b'child'; os._exit(0)
os.waitpid(pid, 0); print(a[0:5])
r, w = os.pipe(); p = select.poll(); p.register(r, select.POLLIN); print(p.poll(0)); os.write(w, b'x'); print(len(p.poll(0)))
e = select.epoll(); e.register(r, select.EPOLLIN); print(len(e.poll(1))); os.makedirs('a/b/c'); open('a/b/f', 'w').write('x');
print(sorted(x for _, d, fs in os.walk('a') for x in d + fs)); shutil.copytree('a', 'z'); shutil.rmtree('a');
print(sorted(glob.glob('*/*/*') + glob.glob('z/*')))
x, y = socket.socketpair(); x.send(b'hi'); print(y.recv(9));
print(ctypes.CDLL(None).getpid() == os.getpid(), pwd.getpwuid(0).pw_name, stat.filemode(os.stat('/tmp').st_mode))
with os.scandir('/proc/self/fd') as d: print(len(list(d)) > 3)
fd = os.memfd_create('m'); os.write(fd, b'abc'); print(os.sendfile(w, fd, 0, 3), os.read(r, 10));
print(os.cpu_count() >= 1, len(os.urandom(8)), os.get_terminal_size.__name__)
`),
    );
  });

  test('sqlite3', async () => {
    await hostAndSandbox(
      python(`
import sqlite3, threading
for mode in ('delete', 'wal'):
    c = sqlite3.connect(f'{mode}.db'); print(c.execute(f'pragma journal_mode={mode}').fetchone())
    c.execute('create table t(a integer primary key, b text)');
    c.executemany('insert into t(b) values(?)', [(str(i),) for i in range(5000)]); c.commit()
    print(c.execute('select count(*), sum(length(b)) from t').fetchone()); c.execute('create index i on t(b)');
    c.execute('delete from t where a % 2'); c.commit(); c.execute('vacuum'); print(c.execute('pragma integrity_check').fetchone())
    def add():
        d = sqlite3.connect(f'{mode}.db', timeout=30)
        for i in range(20):
            with d: d.execute('insert into t(b) values(?)', ('x',))
    ts = [threading.Thread(target=add) for _ in range(3)]; [t.start() for t in ts]; [t.join() for t in ts];
    print(c.execute('select count(*) from t').fetchone())
`),
    );
  });
});

describe('go', () => {
  test('a static program with goroutines', { timeout: 300_000 }, async () => {
    const cache = join(process.env['HOME'] ?? '/root', '.cache/ringfence-test/go-build');
    await hostAndSandbox('./prog', {
      status: 3,
      setup: (directory) => {
        cpSync(join(import.meta.dirname, 'fixtures/goroutines.go'), join(directory, 'main.go'));
        build(directory, cache);
      },
    });
  });
});

describe('openssl', () => {
  test('digests, keys, certificates', async () => {
    await hostAndSandbox(
      `
        echo data > f; openssl dgst -sha256 f; openssl enc -aes-256-cbc -pbkdf2 -k pw -in f -out g;
        openssl enc -d -aes-256-cbc -pbkdf2 -k pw -in g; openssl genpkey -algorithm ED25519 -out k.pem;
        openssl req -new -x509 -key k.pem -subj /CN=test -days 2 -out c.pem; openssl verify -CAfile c.pem c.pem;
        openssl rand -hex 8 | wc -c`,
    );
  });

  test('speed', { timeout: 120_000 }, async () => {
    const { sandbox } = await hostAndSandbox('openssl speed -seconds 1 -bytes 1024 sha256 2>/dev/null', {
      // A virtual processor is without what its machine cannot offer (RDPID, INVPCID): cpuid says so.
      normal: (output) =>
        (testPlatform === 'kvm' ? output.replace(/ia32cap=\S+/, 'ia32cap=N') : output).replaceAll(/[\d.]+k/g, 'Nk').replaceAll(/ +/g, ' '),
    });
    expect(sandbox.stdout).toMatch(/^sha256 .*\d+\.\d+k/m);
  });
});
