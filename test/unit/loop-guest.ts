// Processes that the real loop runs over an engine without guests: a test makes the calls that guest code would make.

import { BLOCKED } from '../../src/base/result.ts';
import { type Context, EVENT_NONE, EVENT_SYSCALL, REG_COUNT } from '../../src/platform/platform.ts';
import { Loop } from '../../src/sentry/kernel/run.ts';
import { installSignals } from '../../src/sentry/kernel/signals.ts';
import type { Task } from '../../src/sentry/kernel/task.ts';
import { handlers } from '../../src/sentry/syscalls/table.ts';
import { type Guest, guests } from './guest.ts';

/** A context whose guest does what a test says. */
class ScriptedContext {
  owner: unknown = null;
  event = EVENT_NONE;
  readonly regs = new Uint32Array(REG_COUNT * 2);
  readonly call = new Uint32Array(12);
  nr = 0;
  /** What the last call gave; BLOCKED while it waits. */
  result: number = BLOCKED;
  readonly delivering = false;
  readonly wantsPatch = false;
  readonly waitsNatively = false;
  readonly fpSize = 832;

  takeCall(args: Uint32Array): number {
    for (let i = 0; i < 12; i++) args[i] = this.call[i]!;
    return this.nr;
  }
  resumeSyscall(result: number): void {
    this.event = EVENT_NONE;
    this.result = result;
  }
  /** With the registers as they are: a signal frame, or the end of one. */
  resumeFull(): void {
    this.event = EVENT_NONE;
    this.result = 0;
  }
  receive(): boolean {
    return false;
  }
  send(): boolean {
    return false;
  }
  fetched(): number {
    return -1;
  }
  fetchedFrom(): number {
    return -1;
  }
  reserve(): number {
    return -1;
  }
  waits(): void {}
  interrupt(): void {}
  fpSaveLater(): number {
    return 0;
  }
  fpLoadLater(): number {
    return 0;
  }
}

export interface LoopGuest {
  readonly guest: Guest;
  readonly task: Task;
  readonly regs: Uint32Array;
  /** Makes a call, and lets all who wake up by it go on. The result, or BLOCKED. */
  call(nr: number, a?: number, b?: number, c?: number, d?: number, e?: number, f?: number): number;
  /** The result of the last call, once it is no longer BLOCKED. */
  readonly result: number;
}

/** `n` processes that share memory with nobody. */
export function loopGuests(n: number): LoopGuest[] {
  const { kernel, all } = guests(n);
  installSignals(kernel);
  const loop = new Loop(kernel, { wait: () => 0 }, handlers);
  const ready = loop as unknown as { runReady(): number };
  return all.map((guest) => {
    const task = guest.task;
    const c = new ScriptedContext();
    task.ctx = c as unknown as Context;
    task.ns = kernel.namespaces;
    task.tg.tasks.add(task);
    c.owner = task;
    return {
      guest,
      task,
      regs: c.regs,
      call(nr, a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0) {
        const w = c.call;
        w[0] = a0;
        w[1] = a0 < 0 ? 0xffffffff : 0;
        w[2] = a1;
        w[4] = a2;
        w[6] = a3;
        w[7] = a3 < 0 ? 0xffffffff : 0;
        w[8] = a4;
        w[10] = a5;
        c.nr = nr;
        c.result = BLOCKED;
        c.event = EVENT_SYSCALL;
        loop.event(task.ctx);
        if (kernel.readyHead !== null) ready.runReady();
        return c.result;
      },
      get result() {
        return c.result;
      },
    };
  });
}
