// The commands that a stopped thread's native half carries out for the Sentry: rewriting call sites, vector state, usage, the host's calls
// for memory.
import { EAGAIN, EFAULT, EINVAL, EIO, EOPNOTSUPP, ESRCH } from '../../abi/errno.ts';
import { MAP_ANONYMOUS, MAP_FIXED } from '../../abi/mman.ts';
import { SYS_execve, SYS_execveat, SYS_exit_group, SYS_mmap } from '../../abi/nr.ts';
import { MAP_ZERO, type MapBatch, type MapStep } from '../mapbatch.ts';
import type { HostUsage } from '../platform.ts';
import { EVENT_SYSCALL, REG_RAX, REG_RIP } from '../platform.ts';
import { admit, inside } from './admit.ts';
import { errorOnly, NO_REGS, TWO32 } from './block.ts';
import { COMMAND_LIMIT } from './engine.ts';
import {
  COMMAND_FP_LOAD,
  COMMAND_FP_SAVE,
  COMMAND_HOSTCALL,
  COMMAND_LOADS,
  COMMAND_MAPS,
  COMMAND_MMAP_FD,
  COMMAND_PATCH,
  COMMAND_SAVES,
  COMMAND_UNPATCH,
  COMMAND_USAGE,
  MESSAGE_MAP,
  MIN_ADDRESS,
  STATE_GUEST,
  STATE_SLEEPING,
  STATE_STOPPED,
  STUB_BASE,
  W_CALL_ARGS,
  W_CALL_NR,
  W_COMMAND,
  W_OUT,
  W_STATE,
  W_USAGE_READY,
} from './layout.ts';
import { Traffic } from './traffic.ts';

const PAGE = 4096;
const scratch: HostUsage = { cpuNs: 0, userNs: 0, systemNs: 0, maxRssKb: 0, minorFaults: 0, majorFaults: 0 };

/** A context's part that commands. */
export class Commander extends Traffic {
  wantsPatch = false;
  /** COMMAND_SAVES or COMMAND_LOADS for resumeFull, 0: neither. */
  protected vectors = 0;
  protected vectorsAt = 0;
  /** Mappings wait in its native half's socket for the next resumeFull(). */
  protected mapping = false;
  /** Its processor time when last asked, ns. */
  private cpuNs = 0;

  get fpSize(): number {
    return this.engine.fpSize;
  }

  patch(prot: number): number {
    this.wantsPatch = false;
    if (!this.engine.kind.patches) return -EOPNOTSUPP;
    const r = this.regs;
    this.setArg(0, (r[2 * REG_RIP + 1] as number) * TWO32 + (r[2 * REG_RIP] as number) - 2);
    this.setArg(1, prot);
    this.setArg(2, this.addressSpace.threads > 1 ? 1 : 0);
    const result = this.transact(COMMAND_PATCH);
    if (result === 0) this.engine.patched++;
    else this.engine.refused++;
    return result;
  }

  unpatch(): void {
    if (this.engine.kind.patches) this.transact(COMMAND_UNPATCH);
  }

  /** Hands a command over and waits: its result as a double, -ESRCH when the address space is dead (now). */
  protected transact(command: number): number {
    const space = this.addressSpace;
    if (space.dead || this.runs || this.regs === NO_REGS) return -ESRCH;
    if (this.mapping && !this.finishMaps()) return -ESRCH;
    const pidfd = space.pidfd;
    if (space.dead) return -ESRCH;
    const engine = this.engine;
    const w = this.words;
    const at = this.base + W_STATE;
    w[this.base + W_COMMAND] = command;
    if (Atomics.exchange(w, at, STATE_GUEST) === STATE_SLEEPING) engine.kind.wake(engine, this.address);
    // Most commands are done before a call of the addon would have begun.
    let state = STATE_GUEST;
    for (let i = engine.commandSpins; i > 0 && state === STATE_GUEST; i--) state = Atomics.load(w, at);
    if (state === STATE_GUEST) state = engine.addon.settle(this.address, pidfd, 0, COMMAND_LIMIT);
    if (state !== STATE_STOPPED && state !== STATE_SLEEPING) {
      space.kill();
      return -ESRCH;
    }
    return (w[this.base + W_CALL_ARGS + 1] as number) * TWO32 + ((w[this.base + W_CALL_ARGS] as number) >>> 0);
  }

  fpSaveLater(address: number): number {
    return this.vectorsLater(COMMAND_SAVES, address);
  }

  fpLoadLater(address: number): number {
    return this.vectorsLater(COMMAND_LOADS, address);
  }

  private vectorsLater(command: number, address: number): number {
    if (address !== 0 || command === COMMAND_SAVES) {
      if (!(address >= MIN_ADDRESS) || address + this.fpSize > STUB_BASE) return -EFAULT;
    }
    const r = this.vectorsNow();
    this.vectors = command;
    this.vectorsAt = address;
    return r;
  }

  /** Does what waits for resumeFull. */
  private vectorsNow(): number {
    const command = this.vectors;
    if (command === 0) return 0;
    this.vectors = 0;
    this.setArg(0, this.vectorsAt);
    return errorOnly(this.transact(command === COMMAND_SAVES ? COMMAND_FP_SAVE : COMMAND_FP_LOAD));
  }

  fpSave(address: number): number {
    if (!(address >= MIN_ADDRESS) || address + this.fpSize > STUB_BASE) return -EFAULT;
    const r = this.vectorsNow();
    if (r < 0) return r;
    this.setArg(0, address);
    return errorOnly(this.transact(COMMAND_FP_SAVE));
  }

  fpLoad(address: number): number {
    if (address !== 0 && (!(address >= MIN_ADDRESS) || address + this.fpSize > STUB_BASE)) return -EFAULT;
    const r = this.vectorsNow();
    if (r < 0) return r;
    this.setArg(0, address);
    return errorOnly(this.transact(COMMAND_FP_LOAD));
  }

  usage(process: boolean, out: HostUsage): number {
    if (!(process && this.tookUsageAlong())) {
      this.setArg(0, process ? 1 : 0);
      const r = this.transact(COMMAND_USAGE);
      if (r < 0) return r;
    }
    out.cpuNs = this.unsigned(W_OUT);
    out.userNs = this.unsigned(W_OUT + 2) * 1000;
    out.systemNs = this.unsigned(W_OUT + 4) * 1000;
    out.maxRssKb = this.unsigned(W_OUT + 6);
    out.minorFaults = this.unsigned(W_OUT + 8);
    out.majorFaults = this.unsigned(W_OUT + 10);
    if (!process) this.cpuNs = out.cpuNs;
    return 0;
  }

  /** Did the call that the thread stands in bring the usage of its process along? */
  private tookUsageAlong(): boolean {
    if (this.event !== EVENT_SYSCALL || this.addressSpace.dead || this.regs === NO_REGS) return false;
    const nr = this.regs[2 * REG_RAX] as number;
    if (nr !== SYS_exit_group && nr !== SYS_execve && nr !== SYS_execveat) return false;
    const ready = this.words[this.base + W_USAGE_READY] === 1;
    this.words[this.base + W_USAGE_READY] = 0;
    return ready;
  }

  cpuTimeNs(): number {
    const space = this.addressSpace;
    if (space.dead || this.regs === NO_REGS) return this.cpuNs;
    if (!space.threaded) {
      this.cpuNs = space.cpuTimeNs();
    } else if (!this.runs) {
      this.usage(false, scratch);
    } else {
      // Another process's thread clock cannot be read; an even share, but never less than what was seen.
      this.cpuNs = Math.max(this.cpuNs, space.cpuTimeNs() / Math.max(1, space.threads));
    }
    return this.cpuNs;
  }

  hostcall(nr: number, a0: number, a1: number, a2: number, a3: number, a4: number, a5: number): number {
    const error = admit(nr, a0, a1, a2, a3, a4);
    if (error < 0) return error;
    this.words[this.base + W_CALL_NR] = nr;
    this.setArg(0, a0);
    this.setArg(1, a1);
    this.setArg(2, a2);
    this.setArg(3, a3);
    this.setArg(4, a4);
    this.setArg(5, a5);
    return this.transact(COMMAND_HOSTCALL);
  }

  mmap(addr: number, len: number, prot: number, flags: number, fd: number, offset: number): number {
    if (fd < 0) return errorOnly(this.hostcall(SYS_mmap, addr, len, prot, flags | MAP_FIXED | MAP_ANONYMOUS, -1, 0));
    const error = admit(SYS_mmap, addr, len, prot, flags | MAP_FIXED, fd);
    if (error < 0) return error;
    if (this.addressSpace.dead) return -ESRCH;
    this.setArg(0, addr);
    this.setArg(1, len);
    this.setArg(2, prot);
    this.setArg(3, flags | MAP_FIXED);
    this.setArg(5, offset);
    const sent = this.engine.addon.send(this.addressSpace.socket, MESSAGE_MAP, fd, -1);
    if (sent < 0) return this.lost(sent);
    return errorOnly(this.transact(COMMAND_MMAP_FD));
  }

  mapAll(batch: MapBatch): number {
    const steps = batch.steps;
    for (let i = 0; i < steps.length; i++) {
      const s = steps[i] as MapStep;
      if (!inside(s.address, s.length) || (s.fd === MAP_ZERO && s.length > PAGE)) return -EINVAL;
    }
    const space = this.addressSpace;
    const m = this.engine.mapMessage;
    for (let done = 0; ; ) {
      if (space.dead) return -ESRCH;
      done += m.fill(steps, done, MAP_FIXED, MAP_ANONYMOUS);
      const whole = done === steps.length && m.addData(batch);
      const sent = this.engine.addon.sendMaps(space.socket, m.bytes, m.length, m.fds, m.count);
      if (sent < 0) return this.lost(sent);
      if (whole) break;
      const r = errorOnly(this.transact(COMMAND_MAPS));
      if (r < 0) return r;
      if (done === steps.length) return batch.data === null ? 0 : space.write(batch.dataAddress, batch.data, 0, batch.data.length);
    }
    this.mapping = true;
    space.starting = this;
    return 0;
  }

  /** Sees to it that what mapAll() promised is done. False when the address space is dead (now). */
  finishMaps(): boolean {
    const space = this.addressSpace;
    space.starting = null;
    if (this.mapping) {
      this.mapping = false;
      if (this.transact(COMMAND_MAPS) === 0) return true;
      space.kill();
      return false;
    }
    // It was resumed: the stub clears this word in between.
    const w = this.words;
    const at = this.base + W_CALL_ARGS;
    const { addon, commandSpins } = this.engine;
    for (let i = 0; i < commandSpins; i++) if (Atomics.load(w, at) === 0) return true;
    for (let ms = 0; ms < COMMAND_LIMIT; ms++) {
      if (Atomics.load(w, at) === 0) return true;
      if (addon.waitReady(space.pidfd, 1) !== 0) break;
    }
    space.kill();
    return false;
  }

  /** The socket does not work: a guest meddled with it, or its process is gone. */
  protected lost(error: number): number {
    this.addressSpace.kill();
    return error === -EAGAIN ? -EIO : error;
  }
}
