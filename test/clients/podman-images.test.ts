// Images that people run: Debian with its shell, a web server, an interpreter, a program with the set-user-ID bit.

import { expect, test } from 'vitest';
import { withPodman } from './kit/each.ts';
import { until } from '../support/until.ts';
import { debian, debianName, nginx, python, setuid } from './kit/images.ts';

withPodman(
  'podman images',
  () => [debian(), nginx(), python(), setuid()],
  (s) => {
    test('Debian: shell, package database, perl', async () => {
      const debianImage = 'localhost/debian';
      expect(await s.says([debianImage, 'bash', '-c', '. /etc/os-release; echo $PRETTY_NAME'])).toBe(debianName());
      expect(await s.says([debianImage, 'dpkg', '--status', 'bash'])).toContain('Status: install ok installed');
      expect(await s.says([debianImage, 'perl', '-e', 'print join(",", map { $_ * 2 } 1..4)'])).toBe('2,4,6,8');
      expect(
        await s.says([debianImage, 'sh', '-c', 'find / -xdev -name "*.so*" | sort | wc -l; useradd -m new && su new -c whoami']),
      ).toMatch(/^\d+\nnew$/);
    });

    test('nginx serves, logs, reloads and ends gracefully', async () => {
      const name = await s.start(['localhost/nginx']);
      const get = async (): Promise<string> =>
        (await s.podman.run(['exec', name, 'busybox', 'wget', '-q', '-O', '-', 'http://127.0.0.1:8080/'])).stdout;
      await until('it serves', async () => (await get()) === 'served by nginx\n');
      expect(await s.podman.must(['logs', name])).toContain('GET / HTTP/1.1" 200');
      await s.podman.must(['kill', '-s', 'HUP', name]);
      for (let i = 0; i < 5; i++) expect(await get()).toBe('served by nginx\n');
      await s.podman.must(['stop', '-t', '60', name]);
      expect(await s.podman.inspect(name, '{{.State.ExitCode}}')).toBe('0');
      await s.remove(name);
    });

    test('python: modules, threads, processes, sockets', async () => {
      const program = `
import json, multiprocessing, socket, sqlite3, subprocess, threading
results = []
threads = [threading.Thread(target=lambda i=i: results.append(i * i)) for i in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
a, b = socket.socketpair()
a.sendall(b'through a socket')
db = sqlite3.connect('/tmp/db')
db.execute('create table t (x)'); db.executemany('insert into t values (?)', [(i,) for i in range(100)]); db.commit()
with multiprocessing.get_context('fork').Pool(2) as pool:
    squares = pool.map(abs, [-1, -2, -3])
print(json.dumps([sorted(results)[-1], b.recv(100).decode(), db.execute('select sum(x) from t').fetchone()[0], squares, subprocess.check_output(['id', '-u']).decode()]))
`;
      expect(await s.says(['-i', 'localhost/python', 'python3', '-'], { input: program })).toBe(
        '[49, "through a socket", 4950, [1, 2, 3], "0\\n"]',
      );
    });

    test('a set-user-ID program', async () => {
      expect(await s.says(['--user', 'guest', 'localhost/suid'])).toBe('real 1000 effective 0 saved 0\nno_new_privs 0\nsecret open');
      expect(await s.says(['--user', 'guest', '--cap-drop=all', 'localhost/suid'])).toContain('effective 0');
    });
  },
);
