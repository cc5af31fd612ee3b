// containerd's CRI plugin drives the runtime as a kubelet has it driven: pods and what runs in them, the same on runc and on ringfence.

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Message } from './containerd/cri.ts';
import { runtimes } from './kit/machine.ts';
import { type ContainerOptions, type Pod, Pods } from './containerd/pods.ts';

let p: Pods;
beforeAll(async () => {
  p = await Pods.start();
});
afterAll(() => p?.stop());

test('the plugin is ready', async () => {
  expect(await p.cri.call('Version')).toMatchObject({ runtime_name: 'containerd', runtime_api_version: 'v1' });
  const { status } = await p.cri.call('Status');
  expect(status['conditions']).toMatchObject([
    { type: 'RuntimeReady', status: true },
    { type: 'NetworkReady', status: true },
  ]);
});

describe.each(runtimes)('$name', ({ name: handler }) => {
  afterEach(() => p.clean());
  const sleep = ['sleep', '1000'];

  /** Runs a container to its end in a pod of its own; its output and status. */
  const output = async (command: string[], o: ContainerOptions = {}, given?: Pod): Promise<{ status: Message; log: string[] }> => {
    const pod = given ?? (await p.run(handler));
    const status = await p.ended(await pod.run('c', command, o));
    return { status, log: pod.log('c') };
  };

  test('a pod: its state, its address, its lists', async () => {
    const pod = await p.run(handler, { labels: { app: 'a' }, annotations: { note: 'b' } });
    const status = await pod.status();
    expect(status).toMatchObject({ state: 'SANDBOX_READY', runtime_handler: handler, labels: { app: 'a' }, annotations: { note: 'b' } });
    expect(status['network']['ip']).toMatch(/^10\.77\.\d+\.\d+$/);
    const list = (await p.cri.call('ListPodSandbox', { filter: { label_selector: { app: 'a' } } }))['items'];
    expect(list).toMatchObject([{ id: pod.id, state: 'SANDBOX_READY', runtime_handler: handler }]);
    await p.cri.call('StopPodSandbox', { pod_sandbox_id: pod.id });
    expect(await pod.status()).toMatchObject({ state: 'SANDBOX_NOTREADY' });
    await p.cri.call('RemovePodSandbox', { pod_sandbox_id: pod.id });
    await expect(pod.status()).rejects.toThrow(/not found/);
  });

  test('three containers in one pod share network and IPC, not files and processes; each ends by itself', async () => {
    const pod = await p.run(handler);
    const server = await pod.run('server', ['sh', '-c', 'echo from one > /tmp/index.html; exec httpd -f -p 127.0.0.1:8000 -h /tmp']);
    const second = await pod.run('second', ['sh', '-c', 'trap "exit 3" TERM; while :; do sleep 0.1; done']);
    const third = await pod.run('third', sleep);
    for (const id of [server, second, third]) expect(await p.cri.status(id)).toMatchObject({ state: 'CONTAINER_RUNNING' });
    const fetch = async () => (await p.cri.exec(second, 'wget', '-q', '-O', '-', 'http://127.0.0.1:8000/')).stdout;
    expect(await p.machine.until(async () => (await fetch()) === 'from one\n')).toBe(true);
    expect((await p.cri.exec(third, 'test', '-e', '/tmp/index.html')).status).toBe(1);
    for (const id of [server, second, third]) {
      const { stdout } = await p.cri.exec(id, 'sh', '-c', 'tr "\\0" " " < /proc/1/cmdline; ps -o pid,args | wc -l; hostname');
      const own = id === server ? 'httpd' : id === second ? 'trap' : 'sleep 1000';
      expect(stdout).toContain(own);
      expect(stdout).toContain(pod.config['hostname']);
    }
    const inodes = new Set<string>();
    for (const id of [server, second, third]) inodes.add((await p.cri.exec(id, 'readlink', '/proc/self/ns/net')).stdout);
    expect(inodes.size).toBe(1);
    await p.cri.call('StopContainer', { container_id: second, timeout: 10 });
    expect(await p.cri.status(second)).toMatchObject({ state: 'CONTAINER_EXITED', exit_code: 3, reason: 'Error' });
    for (const id of [server, third]) expect(await p.cri.status(id)).toMatchObject({ state: 'CONTAINER_RUNNING' });
    const listed = (await p.cri.call('ListContainers', { filter: { pod_sandbox_id: pod.id } }))['containers'];
    expect(listed.map((c: Message) => [c['metadata'].name, c['state']]).sort()).toEqual([
      ['second', 'CONTAINER_EXITED'],
      ['server', 'CONTAINER_RUNNING'],
      ['third', 'CONTAINER_RUNNING'],
    ]);
    await p.cri.call('RemoveContainer', { container_id: second });
    const again = await pod.run('second', sleep, { more: { metadata: { name: 'second', attempt: 1 } } });
    expect(await p.cri.status(again)).toMatchObject({ state: 'CONTAINER_RUNNING' });
    await pod.remove();
    for (const id of [server, third, again]) await expect(p.cri.status(id)).rejects.toThrow(/not found/);
  });

  test('a pod whose first process is killed is not ready, and its containers end', async () => {
    const pod = await p.run(handler);
    const id = await pod.run('c', sleep);
    const { info } = await p.cri.call('PodSandboxStatus', { pod_sandbox_id: pod.id, verbose: true });
    await p.machine.must(['kill', '-9', String(JSON.parse(info['info'])['pid'])]);
    expect(await p.machine.until(async () => (await pod.status())['state'] === 'SANDBOX_NOTREADY')).toBe(true);
    await p.cri.call('StopPodSandbox', { pod_sandbox_id: pod.id });
    expect(await p.ended(id)).toMatchObject({ exit_code: 137 });
  });

  test('exit statuses, reasons and logs', async () => {
    const { status, log } = await output(['sh', '-c', 'echo one; echo two >&2; printf three; exit 5']);
    expect(status).toMatchObject({ exit_code: 5, reason: 'Error' });
    expect([...log].sort()).toEqual(['stderr two', 'stdout one', 'stdout three']);
    const pod = await p.run(handler);
    expect(await p.ended(await pod.run('ok', ['true']))).toMatchObject({ exit_code: 0, reason: 'Completed' });
    expect(await p.ended(await pod.run('killed', ['sh', '-c', 'sh -c "kill -9 \\$\\$"; exit $?']))).toMatchObject({
      exit_code: 137,
      reason: 'Error',
    });
    const id = await pod.create('absent', ['/no/such']);
    await expect(p.cri.call('StartContainer', { container_id: id })).rejects.toThrow(/no such file or directory/);
    expect(await p.cri.status(id)).toMatchObject({ state: 'CONTAINER_EXITED', reason: 'StartError', exit_code: 128 });
  });

  test('stop: with a grace period, and by force', async () => {
    const pod = await p.run(handler);
    const polite = await pod.run('polite', ['sh', '-c', 'trap "echo bye; exit 0" TERM; echo up; while :; do sleep 0.1; done']);
    const stubborn = await pod.run('stubborn', ['sh', '-c', 'trap "" TERM; echo up; while :; do sleep 0.1; done']);
    for (const name of ['polite', 'stubborn']) expect(await p.machine.until(() => pod.log(name).length === 1)).toBe(true);
    await p.cri.call('StopContainer', { container_id: polite, timeout: 20 });
    expect(await p.cri.status(polite)).toMatchObject({ state: 'CONTAINER_EXITED', exit_code: 0, reason: 'Completed' });
    expect(pod.log('polite')).toEqual(['stdout up', 'stdout bye']);
    await p.cri.call('StopContainer', { container_id: stubborn, timeout: 1 });
    expect(await p.cri.status(stubborn)).toMatchObject({ state: 'CONTAINER_EXITED', exit_code: 137 });
    await p.cri.call('StopContainer', { container_id: stubborn, timeout: 1 });
  });

  test('ExecSync: output, status, a command that is not there, a time limit', async () => {
    const pod = await p.run(handler);
    const id = await pod.run('c', sleep);
    expect(await p.cri.exec(id, 'sh', '-c', 'echo out; echo err >&2; exit 4')).toEqual({ status: 4, stdout: 'out\n', stderr: 'err\n' });
    await expect(p.cri.exec(id, '/no/such')).rejects.toThrow(/no such file or directory/);
    await expect(p.cri.call('ExecSync', { container_id: id, cmd: sleep, timeout: 1 })).rejects.toThrow(/timeout 1s exceeded/);
    const all = await Promise.all(Array.from({ length: 10 }, (_, i) => p.cri.exec(id, 'sh', '-c', `echo ${i}`)));
    expect(all.map((r) => r.stdout)).toEqual(Array.from({ length: 10 }, (_, i) => `${i}\n`));
  });

  test('environment, folder, mounts, files that the plugin makes', async () => {
    const dir = join(p.machine.dir, `volume-${handler}`);
    mkdirSync(dir);
    writeFileSync(join(dir, 'a'), 'outside\n');
    const more = {
      working_dir: '/home',
      envs: [{ key: 'A', value: 'b c' }],
      mounts: [
        { container_path: '/mnt/rw', host_path: dir },
        { container_path: '/mnt/ro', host_path: dir, readonly: true },
      ],
    };
    const script =
      'pwd; echo "$A"; cat /mnt/ro/a; echo in > /mnt/rw/b; touch /mnt/ro/c; cat /etc/resolv.conf; hostname; cat /etc/hostname; df /dev/shm | tail -1';
    const pod = await p.run(handler);
    const { log } = await output(['sh', '-c', script], { more }, pod);
    const lines = log.filter((l) => l.startsWith('stdout ')).map((l) => l.slice(7));
    const host = pod.config['hostname'];
    expect(lines.slice(0, -1)).toEqual(['/home', 'b c', 'outside', 'search test.example', 'nameserver 192.0.2.1', host, host]);
    expect(lines.at(-1)).toMatch(/ 65536 .* \/dev\/shm$/);
    expect(log.find((l) => l.startsWith('stderr '))).toMatch(/Read-only file system/);
    expect(readFileSync(join(dir, 'b'), 'utf8')).toBe('in\n');
  });

  test('the log is written anew after a rotation', async () => {
    const pod = await p.run(handler);
    const id = await pod.run('c', ['sh', '-c', 'echo old; until [ -e /go ]; do sleep 0.1; done; echo new; sleep 1000']);
    expect(await p.machine.until(() => pod.log('c').length === 1)).toBe(true);
    const file = join(pod.config['log_directory'], 'c.log');
    renameSync(file, `${file}.1`);
    await p.cri.call('ReopenContainerLog', { container_id: id });
    await p.cri.exec(id, 'touch', '/go');
    expect(await p.machine.until(() => pod.log('c').length === 1)).toBe(true);
    expect(pod.log('c')).toEqual(['stdout new']);
  });

  test('settings of the kernel for the pod, and what the container is worth to the OOM killer', async () => {
    const sysctls = { 'net.ipv4.ip_unprivileged_port_start': '0', 'kernel.shm_rmid_forced': '1' };
    const pod = await p.run(handler, { linux: { cgroup_parent: p.machine.podGroup, sysctls } });
    const script = 'cd /proc/sys; cat net/ipv4/ip_unprivileged_port_start kernel/shm_rmid_forced /proc/self/oom_score_adj';
    const { log } = await output(['sh', '-c', script], { resources: { oom_score_adj: 500 } }, pod);
    expect(log).toEqual(['stdout 0', 'stdout 1', 'stdout 500']);
  });

  describe('security context', () => {
    const lines = async (command: string, security: Message, pod?: Pod): Promise<string[]> =>
      (await output(['sh', '-c', command], { security }, pod)).log.filter((l) => l.startsWith('stdout ')).map((l) => l.slice(7));

    test('user, groups, read-only root, no new privileges', async () => {
      const context = {
        run_as_user: { value: 1000 },
        run_as_group: { value: 1001 },
        supplemental_groups: [2001],
        readonly_rootfs: true,
        no_new_privs: true,
      };
      const out = await lines('id -u; id -g; id -G; grep NoNewPrivs /proc/self/status; touch /tmp/x || echo refused', context);
      expect(out.slice(0, 2)).toEqual(['1000', '1001']);
      expect(out[2]?.split(' ')).toContain('2001');
      expect(out.slice(3)).toEqual(['NoNewPrivs:\t1', 'refused']);
      expect(await lines('id -un', { run_as_username: 'guest' })).toEqual(['guest']);
    });

    test('capabilities: added, dropped, all of a privileged container', async () => {
      const effective = async (security: Message, pod?: Pod): Promise<bigint> =>
        BigInt(`0x${(await lines('grep CapEff /proc/self/status', security, pod))[0]?.split('\t')[1]}`);
      const SYS_ADMIN = 1n << 21n;
      const CHOWN = 1n;
      expect((await effective({})) & (SYS_ADMIN | CHOWN)).toBe(CHOWN);
      expect(
        (await effective({ capabilities: { add_capabilities: ['SYS_ADMIN'], drop_capabilities: ['CHOWN'] } })) & (SYS_ADMIN | CHOWN),
      ).toBe(SYS_ADMIN);
      expect(await effective({ capabilities: { drop_capabilities: ['ALL'] } })).toBe(0n);
    });

    test('masked and read-only paths', async () => {
      const context = { masked_paths: ['/proc/timer_list', '/etc/group'], readonly_paths: ['/proc/sys'] };
      expect(await lines('wc -c < /etc/group; echo x > /proc/sys/kernel/domainname || echo refused', context)).toEqual(['0', 'refused']);
    });

    test('seccomp: none, the default profile, a file', async () => {
      const file = join(p.machine.dir, `seccomp-${handler}.json`);
      writeFileSync(
        file,
        JSON.stringify({
          defaultAction: 'SCMP_ACT_ALLOW',
          architectures: ['SCMP_ARCH_X86_64'],
          syscalls: [{ names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 28 }],
        }),
      );
      const mode = (profile: Message): Promise<string[]> =>
        lines('grep Seccomp: /proc/self/status; mkdir /tmp/x || echo refused', { seccomp: profile });
      expect(await mode({ profile_type: 'Unconfined' })).toEqual(['Seccomp:\t0']);
      expect(await mode({ profile_type: 'RuntimeDefault' })).toEqual(['Seccomp:\t2']);
      expect(await mode({ profile_type: 'Localhost', localhost_ref: file })).toEqual(['Seccomp:\t2', 'refused']);
    });

    test('a process namespace for the whole pod', async () => {
      const pod = await p.run(handler, {}, { namespace_options: { pid: 'POD' } });
      const security = { namespace_options: { pid: 'POD' } };
      const first = await pod.run('first', ['sleep', '1234'], { security });
      const second = await pod.run('second', sleep, { security });
      for (const id of [first, second]) {
        const { stdout } = await p.cri.exec(id, 'ps', '-o', 'pid,args');
        expect(stdout).toMatch(/^ +1 \/pause$/m);
        expect(stdout).toMatch(/ sleep 1234$/m);
        expect(stdout).toMatch(/ sleep 1000$/m);
      }
      const kill = 'kill $(ps -o pid,args | grep "sleep 123[4]" | awk "{print \\$1}")';
      expect(await p.cri.exec(second, 'sh', '-c', kill)).toEqual({ status: 0, stdout: '', stderr: '' });
      expect(await p.ended(first)).toMatchObject({ exit_code: 143 });
      expect(await p.cri.status(second)).toMatchObject({ state: 'CONTAINER_RUNNING' });
    });
  });

  test('a container that joins the processes of another one, as debug containers do', async () => {
    const pod = await p.run(handler);
    const target = await pod.run('target', ['sleep', '1234']);
    const security = { namespace_options: { pid: 'TARGET', target_id: target } };
    const debug = await pod.run('debug', sleep, { security });
    const { stdout } = await p.cri.exec(debug, 'ps', '-o', 'pid,args');
    expect(stdout).toMatch(/^ +1 sleep 1234$/m);
    expect(stdout).toMatch(/ sleep 1000$/m);
    expect((await p.cri.exec(target, 'ps', '-o', 'pid,args')).stdout).toMatch(/ sleep 1000$/m);
  });

  describe('resources', () => {
    const MIB = 1 << 20;
    /** A file of the container's control group. */
    const group = (controller: string, id: string, file: string): string =>
      readFileSync(join('/sys/fs/cgroup', controller, p.machine.podGroup, id, file), 'utf8').trim();

    test('limits are set and changed', async () => {
      const pod = await p.run(handler);
      const id = await pod.run('c', sleep, {
        resources: { memory_limit_in_bytes: 64 * MIB, cpu_period: 100_000, cpu_quota: 50_000, cpu_shares: 512 },
      });
      const seen = (): string[] => [
        group('memory', id, 'memory.limit_in_bytes'),
        group('cpu', id, 'cpu.cfs_quota_us'),
        group('cpu', id, 'cpu.shares'),
      ];
      expect(seen()).toEqual([String(64 * MIB), '50000', '512']);
      expect(group('memory', id, 'cgroup.procs')).not.toBe('');
      const inside = 'cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes; test $(cat memory/memory.usage_in_bytes) -gt 0 && echo used';
      expect((await p.cri.exec(id, 'sh', '-c', inside)).stdout).toBe(`${64 * MIB}\nused\n`);
      const linux = { memory_limit_in_bytes: 128 * MIB, cpu_period: 100_000, cpu_quota: 70_000, cpu_shares: 256 };
      await p.cri.call('UpdateContainerResources', { container_id: id, linux });
      expect(seen()).toEqual([String(128 * MIB), '70000', '256']);
    });

    test('a container beyond its memory limit ends with OOMKilled, others of its pod go on', async () => {
      const pod = await p.run(handler);
      const other = await pod.run('other', sleep);
      // tail keeps the last line in memory, and there is no end of it
      const id = await pod.run('c', ['tail', '/dev/zero'], {
        resources: { memory_limit_in_bytes: 48 * MIB, memory_swap_limit_in_bytes: 48 * MIB },
      });
      expect(await p.ended(id)).toMatchObject({ exit_code: 137, reason: 'OOMKilled' });
      expect(await p.cri.status(other)).toMatchObject({ state: 'CONTAINER_RUNNING' });
      expect((await p.cri.exec(other, 'echo', 'alive')).stdout).toBe('alive\n');
    });

    test('of a container it is the process that took the memory which is killed, whatever the container is worth', async () => {
      const resources = { memory_limit_in_bytes: 48 * MIB, memory_swap_limit_in_bytes: 48 * MIB, oom_score_adj: 1000 };
      const { status, log } = await output(['sh', '-c', 'tail /dev/zero; echo "child $?"; exit 4'], { resources });
      expect(log.filter((l) => l.startsWith('stdout'))).toEqual(['stdout child 137']);
      expect(status).toMatchObject({ exit_code: 4 });
    });

    test('statistics of containers and pods', async () => {
      const pod = await p.run(handler);
      const busy = await pod.run('busy', ['sh', '-c', 'while :; do :; done']);
      const idle = await pod.run('idle', sleep);
      const cpu = async (id: string): Promise<number> =>
        (await p.cri.call('ContainerStats', { container_id: id }))['stats']['cpu']['usage_core_nano_seconds']['value'];
      const before = await cpu(busy);
      expect(await p.machine.until(async () => (await cpu(busy)) > before + 200_000_000)).toBe(true);
      const { stats } = await p.cri.call('ListContainerStats', { filter: { pod_sandbox_id: pod.id } });
      expect(stats.map((s: Message) => s['attributes'].id).sort()).toEqual([busy, idle].sort());
      for (const s of stats) expect(s['memory']['working_set_bytes']['value']).toBeGreaterThan(0);
      const linux = (await p.cri.call('PodSandboxStats', { pod_sandbox_id: pod.id }))['stats']['linux'];
      expect(linux['containers']).toHaveLength(2);
      expect(linux['cpu']['usage_core_nano_seconds']['value']).toBeGreaterThan(before);
    });
  });
});

// What docs/kubernetes.md says that a sandboxed pod cannot do: these differ from runc on purpose or for now.
describe('a sandboxed pod sees nothing of the node', () => {
  const handler = 'ringfence';
  afterEach(() => p.clean());
  const lines = async (
    script: string,
    options: Message,
    security: Message,
    config: Message = {},
    more: Message = {},
  ): Promise<string[]> => {
    const context = { namespace_options: { pid: 'CONTAINER', ...options }, ...security };
    const pod = await p.run(handler, config, context);
    await p.ended(await pod.run('c', ['sh', '-c', `exec 2>&1; ${script}`], { security: context, more }));
    return pod.log('c').map((l) => l.slice(7));
  };

  test('there is a loopback interface only, also with the network of the node', async () => {
    const interfaces = 'ls /sys/class/net; ip -4 addr | grep -c inet';
    expect(await lines(interfaces, {}, {})).toEqual(['lo', '1']);
    expect(await lines(interfaces, { network: 'NODE' }, {}, { hostname: '' })).toEqual(['lo', '1']);
  });

  test("its processes are those of the pod, also with the node's process namespace", async () => {
    const seen = await lines('ps -o pid,args', { pid: 'NODE' }, {});
    expect(seen[1]).toMatch(/^ +1 \/pause$/);
    expect(seen.join()).not.toMatch(/containerd/);
  });

  test('a privileged container has all capabilities over the sandbox, and devices of the node cannot be opened', async () => {
    const script = 'mount -t tmpfs none /tmp && grep -c "none /tmp tmpfs" /proc/mounts; ls -l /dev/node > /dev/null; head -c 1 /dev/node';
    const devices = [{ container_path: '/dev/node', host_path: '/dev/zero', permissions: 'rw' }];
    const disk = readdirSync('/sys/block').find((name) => existsSync(`/dev/${name}`));
    if (disk !== undefined) devices[0] = { container_path: '/dev/node', host_path: `/dev/${disk}`, permissions: 'rw' };
    expect(await lines(script, {}, { privileged: true }, {}, { devices })).toEqual(['1', 'head: /dev/node: No such device or address']);
  });
});
