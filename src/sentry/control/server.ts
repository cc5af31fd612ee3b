// The control server: requests of the entrypoint's commands (src/wire/control.ts), answered from the Sentry's loop.

import { EPOLLHUP, EPOLLIN } from '../../abi/epoll.ts';
import { EAGAIN, EINVAL, ESRCH } from '../../abi/errno.ts';
import { latin1Decode } from '../../base/bytes.ts';
import type { HostIO } from '../../platform/hostio.ts';
import type { StdioFds } from '../../wire/boot.ts';
import { type ControlRequest, type ControlResponse, MAX_PACKET, type PsRow } from '../../wire/control.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { TASK_STOPPED } from '../kernel/task.ts';
import { ThreadGroup } from '../kernel/threadgroup.ts';
import { groupCpuNs } from '../kernel/usage.ts';
import type { Container } from './container.ts';

/** UTF-8 text of packets; given by boot. */
export interface Utf8 {
  decode(b: Uint8Array): string;
  encode(s: string): Uint8Array;
}

/** A `wait` that has not been answered. */
interface Waiter {
  fd: number;
  /** 0: the first process. */
  pid: number;
}

export class ControlServer {
  private readonly kernel: Kernel;
  private readonly host: HostIO;
  private readonly container: Container;
  private readonly utf8: Utf8;
  private readonly accept: (fd: number) => number;
  private readonly packet = new Uint8Array(MAX_PACKET);
  private waiters: Waiter[] = [];
  /** Statuses of processes that ended before anybody waited. */
  private readonly ended: Map<number, number> = new Map();
  private readonly stdio: StdioFds;
  private readonly standin: number;

  constructor(
    kernel: Kernel,
    container: Container,
    listenFd: number,
    clients: readonly number[],
    stdio: StdioFds,
    standin: number,
    accept: (fd: number) => number,
    utf8: Utf8,
  ) {
    this.kernel = kernel;
    this.host = kernel.host;
    this.container = container;
    this.stdio = stdio;
    this.standin = standin;
    this.accept = accept;
    this.utf8 = utf8;
    container.onChange((g, status, stopped) => this.changed(g, status, stopped));
    for (const fd of clients) this.serve(fd);
    if (listenFd < 0) return;
    this.host.setNonblock(listenFd, true);
    this.host.watch(listenFd, EPOLLIN, () => {
      for (let fd = accept(listenFd); fd >= 0; fd = this.accept(listenFd)) this.serve(fd);
    });
  }

  private serve(fd: number): void {
    this.host.setNonblock(fd, true);
    this.host.watch(fd, EPOLLIN | EPOLLHUP, () => this.receive(fd));
  }

  private receive(fd: number): void {
    for (;;) {
      const fds: number[] = [];
      const n = this.host.recvFds(fd, this.packet, 0, this.packet.length, fds);
      if (n === -EAGAIN) return;
      if (n <= 0) {
        this.waiters = this.waiters.filter((w) => w.fd !== fd);
        this.host.unwatch(fd);
        this.host.close(fd);
        return;
      }
      let answer: ControlResponse | null;
      try {
        answer = this.handle(fd, JSON.parse(this.utf8.decode(this.packet.subarray(0, n))) as ControlRequest, fds);
      } catch (e) {
        for (const d of fds) this.host.close(d);
        answer = { ok: false, error: `bad request: ${e instanceof Error ? e.message : String(e)}`, errno: -EINVAL };
      }
      if (answer !== null) this.answer(fd, answer);
    }
  }

  private answer(fd: number, r: ControlResponse): void {
    const b = this.utf8.encode(JSON.stringify(r));
    this.host.sendFds(fd, b, 0, b.length, []);
  }

  private handle(fd: number, r: ControlRequest, fds: number[]): ControlResponse | null {
    const c = this.container;
    switch (r.method) {
      case 'start': {
        if (c.init !== null || c.status >= 0) return { ok: false, error: 'the container has been started', errno: -EINVAL };
        const g = c.start(this.stdio, this.standin);
        return g instanceof ThreadGroup ? { ok: true, pid: g.tgid } : { ok: false, error: g.error, errno: g.errno };
      }
      case 'exec':
        return this.exec(r, fds);
      case 'signal': {
        if (r.signal < 0 || r.signal > 64) return { ok: false, error: `no such signal: ${r.signal}`, errno: -EINVAL };
        if (c.status >= 0) return { ok: false, error: 'container not running', errno: -ESRCH };
        if (r.all) c.signalAll(r.signal);
        else {
          const g = r.pid === 0 ? c.init : this.kernel.findGroup(r.pid);
          if (g === null && r.pid !== 0) return { ok: false, error: `no process ${r.pid}`, errno: -ESRCH };
          if (g !== null) c.signal(g, r.signal);
          else c.kill();
        }
        return { ok: true };
      }
      case 'wait':
        return this.wait(fd, r.pid);
      case 'state':
        return { ok: true, state: c.state, ...(c.init === null ? {} : { pid: c.init.tgid }) };
      case 'ps':
        return { ok: true, ps: this.ps() };
      case 'statistics':
        return { ok: true, statistics: this.statistics() };
      case 'update':
        this.kernel.limits.get(r.id)?.update(r.limits);
        return { ok: true };
      case 'pause':
        if (c.state !== 'running') return { ok: false, error: `the container is ${c.state}`, errno: -EINVAL };
        c.pause();
        return { ok: true };
      case 'resume':
        if (c.state !== 'paused') return { ok: false, error: `the container is ${c.state}`, errno: -EINVAL };
        c.resume();
        return { ok: true };
      case 'resize':
        c.resize(r.pid === 0 ? null : this.kernel.findGroup(r.pid), r.rows, r.cols);
        return { ok: true };
      case 'destroy':
        c.kill();
        return { ok: true };
      default:
        for (const d of fds) this.host.close(d);
        return { ok: false, error: 'unknown method', errno: -EINVAL };
    }
  }

  private statistics(): Record<string, number> {
    const k = this.kernel;
    const out: Record<string, number> = { tasks: k.tasks.size, forks: k.forks, 'system calls': 0, ...k.platform.statistics() };
    for (const t of k.tasks.values()) out['system calls']! += t.syscalls;
    for (const [name, count] of k.counters) out[name] = count();
    return out;
  }

  private exec(r: Extract<ControlRequest, { method: 'exec' }>, fds: number[]): ControlResponse {
    const c = this.container;
    const refuse = (error: string): ControlResponse => {
      for (const d of fds) this.host.close(d);
      return { ok: false, error, errno: -EINVAL };
    };
    if (c.status >= 0) return refuse(`cannot exec in a container that is ${c.state}`);
    const stdio: StdioFds = { fds: [-1, -1, -1], consoleIn: -1, consoleOut: -1, extra: [] };
    let i = 0;
    for (const s of r.streams) stdio.fds[s === 'in' ? 0 : s === 'out' ? 1 : 2] = fds[i++] ?? -1;
    if (r.console) {
      stdio.consoleIn = fds[i++] ?? -1;
      stdio.consoleOut = fds[i++] ?? -1;
    }
    for (let n = 0; n < r.extra; n++) stdio.extra.push(fds[i++] ?? -1);
    const standin = r.standin ? (fds[i++] ?? -1) : -1;
    if (i > fds.length) return refuse('descriptors are missing');
    const g = c.exec(r.process, stdio, standin);
    return g instanceof ThreadGroup ? { ok: true, pid: g.tgid } : { ok: false, error: g.error, errno: g.errno };
  }

  private wait(fd: number, pid: number): ControlResponse | null {
    const c = this.container;
    if (pid === 0) {
      if (c.status >= 0) return { ok: true, status: c.status };
    } else {
      const done = this.ended.get(pid);
      if (done !== undefined) {
        this.ended.delete(pid);
        return { ok: true, status: done };
      }
      if (this.kernel.findGroup(pid) === null) return { ok: false, error: `no process ${pid}`, errno: -ESRCH };
    }
    // Stopped before the caller could wait: it hears of it all the same.
    const g = pid === 0 ? c.init : this.kernel.findGroup(pid);
    if (g !== null && g.outsideParent && g.stopped) return { ok: true, stopped: g.stopSignal };
    this.waiters.push({ fd, pid });
    return null;
  }

  private changed(g: ThreadGroup, status: number, stopped: number): void {
    const own = g === this.container.init;
    let told = false;
    this.waiters = this.waiters.filter((w) => {
      if (w.pid !== g.tgid && !(w.pid === 0 && own)) return true;
      told = true;
      this.answer(w.fd, stopped > 0 ? { ok: true, stopped } : { ok: true, status });
      return false;
    });
    if (stopped === 0 && !told && !own) this.ended.set(g.tgid, status);
  }

  private ps(): PsRow[] {
    const rows: PsRow[] = [];
    const now = monotonicSeconds(this.kernel);
    for (const g of this.kernel.groups.values()) {
      const t = g.leader;
      const l = t.mm.layout;
      const b = new Uint8Array(Math.min(256, Math.max(0, l.argEnd - l.argStart)));
      const cmd =
        !g.zombie && b.length > 0 && t.mm.read(l.argStart, b, 0, b.length) === 0
          ? latin1Decode(b).replace(/\0+$/, '').replaceAll('\0', ' ')
          : `[${t.name}]`;
      rows.push({
        pid: g.tgid,
        ppid: g.parent === null ? 0 : g.parent.tgid,
        uid: t.creds.euid,
        tty: g.session.tty === null ? '?' : g.session.tty.name,
        cpuTimeMs: Math.round(groupCpuNs(g) / 1e6),
        startTimeSec: Math.round(now - g.startNs / 1e9),
        state: g.zombie ? 'Z' : t.state === TASK_STOPPED ? 'T' : 'S',
        cmd,
      });
    }
    return rows;
  }
}

function monotonicSeconds(k: Kernel): number {
  return k.bootNs / 1e9;
}
