// A bug of ours in a system call handler ends the process that made the call, with a report; the others go on. On a fake platform.

import { beforeEach, expect, test } from 'vitest';
import { SIGSEGV } from '../../src/abi/signal.ts';
import { BLOCKED } from '../../src/base/result.ts';
import { type Context, EVENT_SYSCALL, REG_COUNT, REG_RAX, REG_RDI } from '../../src/platform/platform.ts';
import { Loop, type SyscallHandler } from '../../src/sentry/kernel/run.ts';
import { installSignals } from '../../src/sentry/kernel/signals.ts';
import { TASK_BLOCKED, TASK_DEAD, TASK_RUNNING } from '../../src/sentry/kernel/task.ts';
import { type Guest, guests } from '../unit/guest.ts';

const CALL_FINE = 1;
const CALL_THROWS = 2;
const CALL_BLOCKS = 3;
const CALL_UNRESUMABLE = 4;

/** What a context of the fake engine was told. */
class FakeContext {
  owner: unknown = null;
  readonly regs = new Uint32Array(2 * REG_COUNT);
  event = EVENT_SYSCALL;
  results: number[] = [];
  ended = false;
  readonly delivering = false;
  readonly wantsPatch = false;
  broken = false;
  resumeSyscall(result: number): void {
    if (this.broken) throw new Error('a context that cannot go on');
    this.results.push(result);
  }
  takeCall(args: Uint32Array): number {
    args.fill(0);
    args[0] = this.regs[2 * REG_RDI] as number;
    return this.regs[2 * REG_RAX] as number;
  }
  waits(): void {}
  resumeFull(): void {}
  interrupt(): void {}
  exit(): void {
    this.ended = true;
  }
}

interface Report {
  message: string;
  fields: Record<string, unknown>;
}

let all: Guest[];
let contexts: FakeContext[];
let loop: Loop;
let reports: Report[];
let wake: boolean;
let stop: () => void;
const events: Context[] = [];

beforeEach(() => {
  const world = guests(3);
  all = world.all;
  reports = [];
  wake = false;
  events.length = 0;
  const { kernel } = world;
  installSignals(kernel);
  Object.assign(kernel.log, { error: (message: string, fields: Record<string, unknown>) => reports.push({ message, fields }) });
  const platform = kernel.platform as unknown as Record<string, unknown>;
  Object.assign(platform, {
    spinAdvised: false,
    prepareSleep: () => {},
    poll: () => {
      const batch = events.splice(0);
      for (const c of batch) (platform['stopped'] as (c: Context) => void)(c);
      return batch.length;
    },
  });
  contexts = all.map((g) => {
    const c = new FakeContext();
    c.owner = g.task;
    g.task.ctx = c as unknown as Context;
    Object.assign(g.task.mm, { users: 1, unref: () => {}, as: { dead: true, cpuTimeNs: () => 0 } });
    Object.assign(g.task.ctx, { usage: () => -1, cpuTimeNs: () => 0, addressSpace: { cpuTimeNs: () => 0 } });
    g.task.tg.tasks.add(g.task);
    return c;
  });
  const table: SyscallHandler[] = [];
  table[CALL_FINE] = () => 7;
  table[CALL_THROWS] = (t) => {
    throw new TypeError(`cannot read property of undefined (${t.arg(0)})`);
  };
  table[CALL_BLOCKS] = () => {
    if (!wake) return BLOCKED;
    throw new RangeError('after the wait');
  };
  table[CALL_UNRESUMABLE] = () => 0;
  const wait = (): number => {
    kernel.done = true;
    return 0;
  };
  loop = new Loop(kernel, { wait }, table);
  loop.nameOf = (nr) => `call${nr}`;
  stop = () => {
    kernel.done = false;
    loop.run();
  };
});

/** Lets guest `i` make a call and runs the loop until there is nothing to do. */
function call(i: number, nr: number, argument = 0): void {
  const c = contexts[i] as FakeContext;
  c.regs[2 * REG_RAX] = nr;
  c.regs[2 * REG_RDI] = argument;
  events.push(c as unknown as Context);
  stop();
}

test('a handler that throws ends its process with a report', () => {
  call(0, CALL_THROWS, 0x1234);
  const g = all[0] as Guest;
  expect(g.task.state).toBe(TASK_DEAD);
  expect(g.task.tg.exitStatus).toBe(SIGSEGV);
  expect(contexts[0]?.ended).toBe(true);
  expect(contexts[0]?.results).toEqual([]);
  expect(reports).toHaveLength(1);
  expect(reports[0]?.fields).toMatchObject({ call: 'call2', args: expect.stringMatching(/^0x1234, /), tid: 1, name: 'guest' });
  expect(String(reports[0]?.fields['stack'])).toMatch(/cannot read property/);
});

test('the other processes go on', () => {
  call(0, CALL_THROWS);
  call(1, CALL_FINE);
  expect(contexts[1]?.results).toEqual([7]);
  expect(all[1]?.task.state).toBe(TASK_RUNNING);
});

test('a handler that throws when it is invoked again after a wait', () => {
  call(0, CALL_BLOCKS);
  expect(all[0]?.task.state).toBe(TASK_BLOCKED);
  wake = true;
  all[0]?.task.wake();
  stop();
  expect(all[0]?.task.state).toBe(TASK_DEAD);
  expect(reports).toHaveLength(1);
  call(2, CALL_FINE);
  expect(contexts[2]?.results).toEqual([7]);
});

test('a mistake on the way back to the guest', () => {
  (contexts[0] as FakeContext).broken = true;
  call(0, CALL_UNRESUMABLE);
  expect(all[0]?.task.state).toBe(TASK_DEAD);
  expect(reports).toHaveLength(1);
  call(1, CALL_FINE);
  expect(contexts[1]?.results).toEqual([7]);
});
