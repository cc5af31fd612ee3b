// The answers to the calls of guests/guest.h, for sites and traffic.
import { type Context, REG_EFLAGS, REG_RAX, REG_RDX, REG_RIP } from '../../src/platform/platform.ts';
import { BLOCKED, type MiniKernel, type Task } from './kernel.ts';
import { reg, setReg } from './program.ts';

const TRAP_FLAG = 0x100;
const EINTR = -4;
const SYS_BLOCK = 1002;
const SYS_RELEASE = 1003;
const BLOCK_RESULT = 77;
const DELIVERED = 0x5a;

/** What a guest had its kernel do and see. */
export class Asks {
  /** Instruction pointers of single steps. */
  readonly steps: number[] = [];
  /** Instruction pointers of interrupts that no guest can know. */
  readonly strange: number[] = [];
  private readonly k: MiniKernel;
  private readonly patching: boolean;
  private readonly blocked: Task[] = [];
  private stepping: Task | null = null;
  private repair: number[] | null = null;
  /** Interrupts are sent at random moments until so many have come. */
  private storm = 0;
  /** Interrupts that are still to be sent, and the context that has not come since the last one. */
  private left = 0;
  private awaited: Context | null = null;
  private asker: Context | null = null;
  private random = 12345;
  private quiet = 0;
  private native = -1;

  constructor(k: MiniKernel, patching: boolean) {
    this.k = k;
    this.patching = patching;
    k.onTurn = () => this.turn();
    k.onFault = (t) => this.fault(t);
    k.onInterrupt = (t) => this.interrupted(t);
    const again = k.onRestart;
    k.onRestart = (t) => {
      if (t.context !== this.awaited) return again(t);
      t.context.regs[2 * REG_RAX] = EINTR;
      t.context.regs[2 * REG_RAX + 1] = -1;
      this.interrupted(t);
    };
    k.answers.set(1001, (t, args) => this.ask(t, args));
    k.answers.set(SYS_BLOCK, (t) => {
      this.blocked.push(t);
      t.context.waits();
      return BLOCKED;
    });
    k.answers.set(SYS_RELEASE, () => {
      const next = this.blocked.shift();
      next?.context.resumeSyscall(BLOCK_RESULT);
      return next === undefined ? 0 : 1;
    });
  }

  private ask(t: Task, args: number[]): number {
    const [what, a, b, d] = args as [number, number, number, number];
    const { k } = this;
    const c = t.context;
    switch (what) {
      case 0:
        return 1;
      case 1:
        return this.patching ? 1 : 0;
      case 2:
        return k.platform.statistics()['call sites rewritten'];
      case 3:
        return k.platform.statistics()['call sites left alone'];
      case 4:
        c.unpatch();
        return 0;
      case 5:
        this.stepping = a !== 0 ? t : null;
        setReg(c, REG_EFLAGS, a !== 0 ? reg(c, REG_EFLAGS) | TRAP_FLAG : reg(c, REG_EFLAGS) & ~TRAP_FLAG);
        return this.fully(c, 0);
      case 6:
        this.repair = [a, b, d];
        return 0;
      case 7:
        this.storm = a;
        k.nap = a !== 0 ? 0 : 10;
        return 0;
      case 8:
        return k.counts.get(a) ?? 0;
      case 9:
        return k.restarts;
      case 10:
        this.native = a;
        this.quiet = 0;
        return 0;
      case 11:
        this.left = a;
        k.nap = 1;
        this.asker = c;
        return BLOCKED;
      case 12:
        return this.fully(c, c.fpSaveLater(a));
      case 13:
        return this.fully(c, c.fpLoadLater(a));
      case 14: {
        k.put(c, a, Buffer.alloc(64, DELIVERED));
        if (b === 0) c.resumeSyscall(0);
        else this.fully(c, c.fpSaveLater(b));
        c.interrupt();
        return BLOCKED;
      }
      case 15:
        return k.coldest;
      case 16:
        return this.deliver(c, a, b, d);
      case 17:
        return [...k.tasks].filter((o) => o.context.addressSpace === c.addressSpace && o.context.waitsNatively).length;
      default:
        return -22;
    }
  }

  /** `bytes` in `pieces`: as many as there is room for travel with the resume. The answer: how many that were. */
  private deliver(c: Context, address: number, bytes: number, pieces: number): number {
    const each = bytes / pieces;
    let sent = 0;
    for (; sent < pieces; sent++) {
      const at = c.reserve(each);
      if (at < 0) break;
      c.window.fill(DELIVERED, at, at + each);
      c.deliver(address + sent * each, at, each);
    }
    return sent;
  }

  /** Answers with all registers. */
  private fully(c: Context, result: number): number {
    c.regs[2 * REG_RAX] = result;
    c.regs[2 * REG_RAX + 1] = result < 0 ? -1 : 0;
    c.resumeFull();
    return BLOCKED;
  }

  private fault(t: Task): boolean {
    const c = t.context;
    if (t === this.stepping && c.faultSignal === 5) {
      this.steps.push(reg(c, REG_RIP));
      c.resumeFull();
      return true;
    }
    if (this.repair === null || c.faultSignal !== 11) return false;
    const [word, ripAt, addressAt] = this.repair as [number, number, number];
    const out = Buffer.alloc(8);
    out.writeBigUInt64LE(BigInt(reg(c, REG_RIP)));
    this.k.put(c, ripAt, out);
    out.writeBigUInt64LE(BigInt(c.faultAddress));
    this.k.put(c, addressAt, out);
    setReg(c, REG_RDX, word);
    this.repair = null;
    c.resumeFull();
    return true;
  }

  private interrupted(t: Task): void {
    const c = t.context;
    const rip = reg(c, REG_RIP);
    const p = this.k.platform;
    const inVdso = rip >= p.vdsoAddress && rip < p.vdsoAddress + p.vdsoSize;
    if (!inVdso && (rip >= p.maxAddress || rip < p.minAddress)) this.strange.push(rip);
    if (c === this.awaited) {
      this.awaited = null;
      this.left--;
    }
    c.resumeFull();
  }

  private turn(): void {
    const { k } = this;
    this.random = (this.random * 16807) % 2147483647;
    if (k.interrupts < this.storm && this.random % 65536 < 8192) for (const t of k.tasks) t.context.interrupt();
    if (this.native >= 0 && ++this.quiet > 20) {
      for (const t of k.tasks) t.context.addressSpace.setNative(this.native);
      this.native = -1;
    }
    if (this.asker === null || this.awaited !== null || this.random % 65536 > 16384) return;
    if (this.left === 0) {
      this.asker.resumeSyscall(0);
      this.asker = null;
      k.nap = 10;
      return;
    }
    for (const t of k.tasks) {
      if (t.context === this.asker || t.context.event !== 0) continue;
      this.awaited = t.context;
      t.context.interrupt();
      return;
    }
  }
}
