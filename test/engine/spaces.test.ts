// Address spaces and contexts as the Sentry holds them: death at any moment, memory seen from outside, usage, registers that no thread can
// have, sleeping without losing an event, and that nothing is left behind. For the engine that RINGFENCE_TEST_PLATFORM names.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  type Context,
  EVENT_FAULT,
  EVENT_GONE,
  EVENT_INTERRUPTED,
  EVENT_NONE,
  EVENT_SYSCALL,
  type HostUsage,
  type Origin,
  REG_CS,
  REG_EFLAGS,
  REG_RIP,
  REG_SS,
} from '../../src/platform/platform.ts';
import { buildBare, buildEngine } from './harness.ts';
import { BLOCKED, MiniKernel, type Task } from './kernel.ts';
import { reg, setReg } from './program.ts';
import { registers, Signals } from './signals.ts';

const root = path.resolve(import.meta.dirname, '../..');
const directory = buildEngine(root, mkdtempSync(path.join(os.tmpdir(), 'ringfence-spaces-')));
const subjects = buildBare(root, directory, 'subjects');
const storms = buildBare(root, directory, 'storms');
const LIMIT = 50_000; // milliseconds
const SYS_ASK = 1001;
const ASK_BLOCK = 0;
const ASK_READY = 1;
const ASK_FLAGS = 2;
const AREA = 0x50000000;
const PAGE = 4096;
const EFAULT = -14;
const SIGSEGV = 11;
/** Address spaces that an engine may keep in waiting; two hundred that were lost would be far more. */
const WAITING = 8;

const modes: [string, number | undefined][] = [
  ['spinning', undefined],
  ['sleeping', 1],
];

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

/** The host's process of an address space. */
function pidOf(c: Context): number {
  return (c.addressSpace as unknown as { pid: number }).pid;
}

/** State and parent of a process; null: there is none. */
function stat(pid: number): { state: string; parent: number } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state, parent] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: state as string, parent: Number(parent) };
  } catch {
    return null;
  }
}

function alive(pid: number): boolean {
  const s = stat(pid);
  return s !== null && s.state !== 'Z' && s.state !== 'X';
}

/** Processes that come from `pid`, those that have ended and are not reaped among them. */
function descendants(pid: number): number[] {
  const found = new Set([pid]);
  const all = readdirSync('/proc').filter((n) => /^\d+$/.test(n));
  for (let before = 0; before !== found.size; ) {
    before = found.size;
    for (const n of all) if (found.has(stat(Number(n))?.parent ?? -1)) found.add(Number(n));
  }
  found.delete(pid);
  return [...found];
}

async function eventually(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + LIMIT;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Serves the guests until the condition holds. */
async function serve(k: MiniKernel, condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + LIMIT;
  const { platform, addon } = k;
  for (let turn = 1; !condition(); turn++) {
    k.onTurn();
    if (turn % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
    if (Date.now() > deadline) throw new Error(`never came: ${what}`);
    if (platform.poll() > 0) continue;
    platform.prepareSleep(true);
    if (platform.poll() === 0 && !condition()) addon.waitReady(platform.doorbell, 2);
    platform.prepareSleep(false);
  }
}

/** A kernel whose guests have said ASK_READY as often as `ready.count` tells. */
function kernel(cpus: number | undefined): { k: MiniKernel; signals: Signals; ready: { count: number; task: Task | null } } {
  const k = new MiniKernel(directory, cpus);
  const signals = new Signals(k);
  const ready: { count: number; task: Task | null } = { count: 0, task: null };
  k.answers.set(SYS_ASK, (t, args) => {
    if (args[0] === ASK_READY) {
      ready.count++;
      ready.task = t;
      return 0;
    }
    return BLOCKED;
  });
  return { k, signals, ready };
}

describe.each(modes)('%s', (_mode, cpus) => {
  test('two hundred address spaces, killed in any state: nothing is left', async () => {
    const { k } = kernel(cpus);
    try {
      for (let i = 0; i < 8; i++) k.start(subjects, ['call']);
      await serve(k, () => (k.counts.get(39) ?? 0) > 20, 'a call');
      for (const t of k.tasks) k.exitTask(t, 0);
      await serve(k, () => k.tasks.size === 0, 'the end');
      const idle = descendants(k.stubPid).length;
      const fds = readdirSync('/proc/self/fd').length;
      // Most do nothing; a few at a time run, call, fault and have threads.
      const roles = ['spin', 'call', 'touch', 'many', 'block'];
      const pids: number[] = [];
      for (let round = 0; round < 40; round++) {
        const batch = roles.map((role) => k.start(subjects, [role]));
        pids.push(...batch.map((t) => pidOf(t.context)));
        await serve(k, () => batch.every((t) => t.context.event !== EVENT_GONE) && k.platform.poll() >= 0, 'a turn');
        for (const [i, t] of batch.entries()) {
          if (i === 4) continue; // those stay
          if ((round + i) % 2 === 0) t.context.addressSpace.kill();
          else k.exitProcess(t.process, 0);
        }
        await serve(k, () => batch.every((t, i) => i === 4 || t.process.status >= 0), 'the end of a few');
      }
      expect(k.tasks.size).toBe(40);
      for (const t of [...k.tasks]) k.exitTask(t, 0);
      await serve(k, () => pids.every((p) => !alive(p)), 'the end of all');
      await eventually(() => {
        k.platform.poll();
        k.platform.prepareSleep(true);
        k.platform.prepareSleep(false);
        return descendants(k.stubPid).length <= idle + WAITING && readdirSync('/proc/self/fd').length <= fds + 4 * WAITING;
      }, `about as few processes as before (${idle}), and descriptors (${fds})`);
      // And there is room for more.
      k.start(subjects, ['call']);
      const before = k.counts.get(39) ?? 0;
      await serve(k, () => (k.counts.get(39) ?? 0) > before + 20, 'a call after all');
    } finally {
      k.close();
    }
  });

  test('a process that dies running, stopped, and being resumed shows as gone, and others go on', async () => {
    const { k } = kernel(cpus);
    try {
      const other = k.start(subjects, ['call']);
      const die = async (role: string, how: (t: Task) => void | Promise<void>): Promise<void> => {
        const t = k.start(subjects, [role]);
        if (role === 'block') await serve(k, () => t.context.event === EVENT_SYSCALL, 'a call that blocks');
        else await serve(k, () => k.platform.poll() >= 0, 'a turn');
        await how(t);
        await serve(k, () => t.process.status >= 0, `${role}: gone`);
        expect(t.process.status).toBe(9);
        expect(t.context.addressSpace.dead).toBe(true);
        expect(t.context.event).toBe(EVENT_GONE);
        expect(t.context.addressSpace.read(AREA, new Uint8Array(8), 0, 8)).toBe(EFAULT);
        expect(t.context.addressSpace.cpuTimeNs()).toBe(-1);
        expect(t.context.hostcall(11, AREA, PAGE, 0, 0, 0, 0)).toBeLessThan(0);
      };
      for (let i = 0; i < 6; i++) {
        await die('spin', (t) => void process.kill(pidOf(t.context), 'SIGKILL'));
        await die('call', (t) => void process.kill(pidOf(t.context), 'SIGKILL'));
        await die('touch', (t) => void process.kill(pidOf(t.context), 'SIGKILL'));
        // Stopped, and nobody resumes it.
        await die('block', (t) => void process.kill(pidOf(t.context), 'SIGKILL'));
        // Resumed just before, and just after.
        await die('block', (t) => {
          t.context.resumeSyscall(0);
          process.kill(pidOf(t.context), 'SIGKILL');
        });
        await die('block', (t) => {
          process.kill(pidOf(t.context), 'SIGKILL');
          t.context.resumeFull();
        });
        // By the Sentry, whose word counts at once.
        await die('block', (t) => {
          t.context.resumeSyscall(0);
          t.context.addressSpace.kill();
        });
        await die('spin', (t) => t.context.addressSpace.kill());
        // A command finds nobody.
        await die('block', async (t) => {
          const pid = pidOf(t.context);
          process.kill(pid, 'SIGKILL');
          await eventually(() => !alive(pid), 'the death of a process');
          expect(t.context.hostcall(11, AREA, PAGE, 0, 0, 0, 0)).toBeLessThan(0);
          expect(t.context.fork()).toBeLessThan(0);
          expect(t.context.cloneThread()).toBe(null);
          t.context.addressSpace.kill();
        });
      }
      const before = k.counts.get(39) ?? 0;
      await serve(k, () => (k.counts.get(39) ?? 0) > before + 20, 'a call of the other');
      expect(other.process.status).toBe(-1);
    } finally {
      k.close();
    }
  });

  test('guest memory from outside, at every edge, while the guest runs and while it is stopped', async () => {
    const { k, ready } = kernel(cpus);
    try {
      const t = k.start(subjects, ['memory']);
      const space = t.context.addressSpace;
      const expected = Buffer.alloc(6 * PAGE, 0);
      for (let i = 0; i < expected.length; i++) expected[i] = (i * 7 + (i >> 8)) & 255;
      const got = Buffer.alloc(6 * PAGE);
      const look = (): void => {
        // What may be read, whole, in parts, across pages.
        for (const [at, n] of [
          [0, 1],
          [0, PAGE],
          [PAGE - 1, 2],
          [5, 2 * PAGE - 10],
          [3 * PAGE, PAGE],
          [4 * PAGE - 1, 1],
        ] as const) {
          expect(space.read(AREA + at, got, 0, n)).toBe(0);
          expect(Buffer.compare(got.subarray(0, n), expected.subarray(at, at + n))).toBe(0);
          expect(space.readUpTo(AREA + at, got, 0, n)).toBe(n);
        }
        expect(space.read(AREA, got, 0, 0)).toBe(0);
        // What may not: PROT_NONE, nothing, beyond the guest's own addresses.
        for (const [at, n] of [
          [4 * PAGE, 1],
          [4 * PAGE - 1, 2],
          [5 * PAGE, 8],
          [0, 4 * PAGE + 1],
        ] as const)
          expect(space.read(AREA + at, got, 0, n)).toBe(EFAULT);
        expect(space.readUpTo(AREA + 4 * PAGE - 10, got, 0, 100)).toBe(10);
        expect(space.readUpTo(AREA + 4 * PAGE, got, 0, 100)).toBe(0);
        for (const at of [0, 8, k.platform.maxAddress, k.platform.maxAddress - 4, 2 ** 47, 2 ** 52]) {
          expect(space.read(at, got, 0, 8)).toBe(EFAULT);
          expect(space.write(at, got, 0, 8)).toBe(EFAULT);
        }
        // Protections hold for writes, and what fails changes nothing that may not be changed.
        expect(space.write(AREA + 3 * PAGE, got, 0, 1)).toBe(EFAULT);
        expect(space.write(AREA + 4 * PAGE, got, 0, 1)).toBe(EFAULT);
        expect(space.write(AREA + 5 * PAGE, got, 0, 1)).toBe(EFAULT);
        expect(space.read(AREA + 3 * PAGE, got, 0, 1)).toBe(0);
        expect(got[0]).toBe(expected[3 * PAGE]);
        expect(space.write(AREA + 17, expected, 17, PAGE)).toBe(0);
      };
      await serve(k, () => ready.count === 1, 'ready');
      const word = Buffer.alloc(8);
      for (let i = 1; i <= 20; i++) {
        look();
        // The guest answers what is written while it runs.
        word.writeBigUInt64LE(BigInt(i * 1000));
        expect(space.write(AREA + 2 * PAGE + 8, word, 0, 8)).toBe(0);
        await eventually(
          () => space.read(AREA + 2 * PAGE, word, 0, 8) === 0 && word.readBigUInt64LE() === BigInt(i * 1000 + 1),
          'an answer',
        );
        expect(t.context.event).toBe(EVENT_NONE);
      }
      k.onInterrupt = () => {};
      t.context.interrupt();
      await serve(k, () => t.context.event === EVENT_INTERRUPTED, 'an interrupt');
      look();
      // What the Sentry changes itself is so at once.
      expect(t.context.hostcall(10, AREA, PAGE, 1, 0, 0, 0)).toBe(0);
      expect(space.write(AREA, word, 0, 1)).toBe(EFAULT);
      expect(t.context.hostcall(11, AREA, PAGE, 0, 0, 0, 0)).toBe(0);
      expect(space.read(AREA, word, 0, 1)).toBe(EFAULT);
      expect(t.context.mmap(AREA, PAGE, 3, 2, -1, 0)).toBe(0);
      expect(space.read(AREA, word, 0, 8)).toBe(0);
      expect(word.readBigUInt64LE()).toBe(0n);
      expect(space.write(AREA, word, 0, 8)).toBe(0);
    } finally {
      k.close();
    }
  });

  test('usage counts what a thread and its process used', async () => {
    const { k, ready } = kernel(cpus);
    const usage = (): HostUsage => ({ cpuNs: 0, userNs: 0, systemNs: 0, maxRssKb: 0, minorFaults: 0, majorFaults: 0 });
    try {
      const seen: HostUsage[] = [];
      k.answers.set(SYS_ASK, (t) => {
        for (const whole of [false, true]) {
          const u = usage();
          expect(t.context.usage(whole, u)).toBe(0);
          seen.push(u);
        }
        expect(t.context.cpuTimeNs()).toBeGreaterThan(0);
        ready.count++;
        return 0;
      });
      const t = k.start(subjects, ['burn']);
      let last = 0;
      await serve(
        k,
        () => {
          const now = t.context.addressSpace.cpuTimeNs();
          expect(now === -1 || now >= last).toBe(true);
          last = now;
          return ready.count === 2;
        },
        'two looks',
      );
      const [before, , thread, whole] = seen as [HostUsage, HostUsage, HostUsage, HostUsage];
      // A hundred million rounds of a loop are no less than twenty milliseconds on any processor.
      expect(thread.cpuNs - before.cpuNs).toBeGreaterThan(20e6);
      expect(whole.cpuNs).toBeGreaterThanOrEqual(thread.cpuNs);
      expect(thread.userNs + thread.systemNs).toBeGreaterThan(10e6);
      expect(Math.abs(thread.userNs + thread.systemNs - thread.cpuNs)).toBeLessThan(thread.cpuNs / 2 + 20e6);
      expect(whole.minorFaults - before.minorFaults).toBeGreaterThanOrEqual(2000);
      expect(whole.maxRssKb).toBeGreaterThan(1500 * 4); // the host counts in batches
      expect(whole.majorFaults).toBeGreaterThanOrEqual(0);
    } finally {
      k.close();
    }
  });

  test('an interrupt is one event, and none for a thread that is stopped', async () => {
    const { k } = kernel(cpus);
    try {
      const t = k.start(subjects, ['spin']);
      for (let i = 0; i < 30; i++) {
        const before = k.interrupts;
        t.context.interrupt();
        t.context.interrupt();
        await serve(k, () => k.interrupts > before, 'an interrupt');
      }
      // Late ones would come now.
      const before = k.interrupts;
      for (let i = 0; i < 20; i++) await serve(k, () => true, '').then(() => new Promise((resolve) => setTimeout(resolve, 2)));
      k.platform.poll();
      expect(k.interrupts).toBe(before);
      const stopped = k.start(subjects, ['block']);
      await serve(k, () => stopped.context.event === EVENT_SYSCALL, 'a call');
      for (let i = 0; i < 20; i++) {
        stopped.context.interrupt();
        stopped.context.resumeSyscall(0);
        await serve(k, () => stopped.context.event === EVENT_SYSCALL, 'the next call');
      }
      expect(k.interrupts).toBe(before);
    } finally {
      k.close();
    }
  });

  test('registers that no thread can have do no harm: flags are masked, selectors stay, bad addresses are faults', async () => {
    const { k } = kernel(cpus);
    try {
      const seen: number[] = [];
      k.answers.set(SYS_ASK, (t, args) => {
        if (args[0] !== ASK_FLAGS) return BLOCKED;
        seen.push(args[1] as number);
        return seen.length < 8 ? mangle(t) : BLOCKED;
      });
      const masks = [0n, 0x3000n, 0x20000n, 0x1a0000n, 0xffffffff00000000n, 0x8000n, ~0x44100n & 0xffffffffffffffffn, 0x2n];
      const mangle = (t: Task): number => {
        const r = registers(t);
        r[REG_EFLAGS] = masks[seen.length] as bigint;
        r[REG_CS] = 0x10n;
        r[REG_SS] = 0n;
        r[10] = 0n;
        t.context.resumeFull();
        return BLOCKED;
      };
      const t = k.start(subjects, ['flags']);
      await serve(k, () => seen.length === 8, 'eight times the flags');
      for (const f of seen) expect(f & 0x3b202).toBe(0x202); // no IOPL, no VM; interrupts are on
      // From here on: where it cannot go.
      const faults: [number, number, number, number][] = [];
      k.onFault = (_t, f) => {
        faults.push([f.signal, f.trap, f.error, f.rip]);
        return true;
      };
      for (const rip of [0x123456780000, 0x800000000000, 2 ** 63, 0xffff888000000000]) {
        setReg(t.context, REG_RIP, rip);
        const before = faults.length;
        t.context.resumeFull();
        await serve(k, () => faults.length > before || t.process.status >= 0, 'a fault');
        if (t.process.status >= 0) break;
        expect(t.context.event).toBe(EVENT_FAULT);
        expect(faults.at(-1)?.[0]).toBe(SIGSEGV);
        if (rip === 0x123456780000) expect(faults.at(-1)).toEqual([SIGSEGV, 14, 0x14, rip]);
      }
      expect(faults.length).toBe(4);
      expect(reg(t.context, REG_CS)).toBe(0x33);
    } finally {
      k.close();
    }
  });

  test('other origins make address spaces, and end with what is in waiting', async () => {
    const { k } = kernel(cpus);
    try {
      const origins: Origin[] = [];
      for (let i = 0; i < 3; i++) origins.push(k.platform.newOrigin() as Origin);
      for (const o of origins) {
        expect(alive(o.pid)).toBe(true);
        const c = k.platform.newAddressSpace(o);
        expect(typeof c).toBe('object');
        expect(pidOf(c as Context)).not.toBe(o.pid);
        expect((c as Context).mmap(AREA, PAGE, 3, 2, -1, 0)).toBe(0);
        expect((c as Context).addressSpace.write(AREA, Buffer.from('here'), 0, 4)).toBe(0);
        (c as Context).exit();
      }
      const pids = origins.map((o) => o.pid);
      for (const o of origins) o.close();
      await eventually(() => pids.every((p) => !alive(p)), 'the end of the origins');
      k.start(subjects, ['call']);
      await serve(k, () => (k.counts.get(39) ?? 0) > 20, 'a call of another');
    } finally {
      k.close();
    }
  });

  test('shutdown with guests in every state leaves no process', async () => {
    for (let round = 0; round < 4; round++) {
      const { k, ready } = kernel(cpus);
      const pid = k.stubPid;
      for (const role of ['spin', 'call', 'block', 'touch', 'many', 'memory', 'spin']) k.start(subjects, [role]);
      if (round > 0) await serve(k, () => ready.count === 2, 'all');
      const all = descendants(pid);
      expect(all.length).toBeGreaterThan(6);
      k.close();
      await eventually(() => [pid, ...all].every((p) => !alive(p)), 'the end of all processes');
    }
  });
});

test('whatever a guest writes to the memory that it shares with the Sentry, others go on, and so does the Sentry', async () => {
  const { k, signals } = kernel(undefined);
  try {
    for (let round = 0; round < 6; round++) {
      const honest = [k.start(storms, ['calls']), k.start(storms, ['faults'])];
      for (let i = 0; i < 5; i++) k.start(subjects, ['scribble', `${round * 5 + i}`]);
      await serve(k, () => honest.every((t) => t.process.status >= 0), 'the end of the honest ones');
      expect(honest.map((t) => t.process.status)).toEqual([0, 0]);
      // A scribbler may have stopped itself for good; nobody else has.
      for (const t of [...k.tasks]) k.exitProcess(t.process, 0);
    }
    const last = k.start(storms, ['compute']);
    await serve(k, () => last.process.status >= 0, 'the end of one that came later');
    expect(last.process.status).toBe(0);
  } finally {
    k.close();
    signals.close();
  }
});

test.each(modes)(
  '%s: a hundred thousand calls, and no event is lost while the Sentry sleeps',
  async (_mode, cpus) => {
    const { k } = kernel(cpus);
    const { platform, addon } = k;
    const slowest = 20_000; // milliseconds: a sleep that ends by its limit has missed an event
    let calls = 0;
    let sleeps = 0;
    let missed = 0;
    try {
      const later: [Task, number][] = [];
      k.answers.set(SYS_ASK, (t, args) => {
        calls++;
        const answer = (args[1] as number) * 3;
        // Most are answered at once, some after a look at others, some are told to sleep.
        if (calls % 7 !== 0) return answer;
        if (calls % 21 === 0) t.context.waits();
        later.push([t, answer]);
        return BLOCKED;
      });
      for (let i = 0; i < 4; i++) k.start(subjects, ['calls', `${i}`]);
      let x = 1;
      while (k.tasks.size > 0) {
        x = (Math.imul(x, 1103515245) + 12345) >>> 0;
        for (let spins = (x >>> 16) % 3; spins > 0 && platform.poll() === 0; spins--);
        for (const [t, answer] of later.splice(0)) t.context.resumeSyscall(answer);
        platform.prepareSleep(true);
        if (platform.poll() === 0 && k.tasks.size > 0 && later.length === 0) {
          sleeps++;
          if (addon.waitReady(platform.doorbell, slowest) === 0) missed++;
        }
        platform.prepareSleep(false);
        if (missed > 0) break;
      }
      expect(missed).toBe(0);
      expect(calls).toBe(100_000);
      expect(sleeps).toBeGreaterThan(10); // thousands, where processors are free
      expect(k.processes.map((p) => p.status)).toEqual([0, 0, 0, 0]);
    } finally {
      k.close();
    }
  },
  170_000,
);

test('a blocked call shows its arguments each time, and is answered whenever it may be', async () => {
  const { k } = kernel(1);
  try {
    const asked: number[][] = [];
    k.answers.set(SYS_ASK, (_t, args) => {
      asked.push(args);
      return BLOCKED;
    });
    const t = k.start(subjects, ['block']);
    for (let i = 0; i < 200; i++) {
      await serve(k, () => asked.length > i, 'a call');
      expect(t.context.event).toBe(EVENT_SYSCALL);
      if (i % 3 === 0) t.context.waits();
      if (i % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      t.context.resumeSyscall(0);
    }
    expect(asked.every((args) => args[0] === ASK_BLOCK && args[1] === 0)).toBe(true);
  } finally {
    k.close();
  }
});
