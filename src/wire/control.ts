// The control protocol between the entrypoint's commands and a running Sentry.
//
// SOCK_SEQPACKET on a unix socket. One request is one packet of JSON (UTF-8, at most MAX_PACKET bytes), descriptors ride on it with
// SCM_RIGHTS; one packet of JSON answers it. A connection carries any number of requests, one after another; `wait` answers late.
//
// A request that is longer is sent in a memfd: the packet is then {"method":"long"}, and the first descriptor on it holds the JSON.
//
// Every request names a container of the sandbox by its id, and concerns that container alone. The first one is the sandbox's own: it came
// with the Sentry, and with its end all others end and the Sentry too. Further ones come by `create` and go by `destroy`; in between
// `wait` tells of the end of their first process, even when that was before it was asked.
//
// A stand-in (native/launch/standin.c) has a socket of its own to the Sentry, SOCK_SEQPACKET too: one byte towards the Sentry is the number of
// a signal for the process that it stands for (SIGWINCH: the terminal given by --console-socket has another size, read it again from
// the console's descriptor); four bytes towards the stand-in are the wait(2) status, little endian. The end of the socket is SIGKILL.

import type { ContainerConfig, LimitsConfig, ProcessConfig } from './boot.ts';

export const MAX_PACKET = 192 * 1024;
/** Bytes of the longest request in a memfd. */
export const MAX_LONG = 16 * 1024 * 1024;

/**
 * Streams of a process that travel with a request: the descriptors on the packet are those that `streams` names, in that order, then
 * console in and out if `console`, then `extra` further ones, last the stand-in's socket if `standin`.
 */
export interface SentStreams {
  streams: ('in' | 'out' | 'err')[];
  console: boolean;
  extra: number;
  standin: boolean;
}

export type ControlRequest =
  | { method: 'long' }
  /**
   * A further container, up to its start. Its Gofer's socket comes before the other descriptors, and after it `groups` descriptors of the
   * cgroup.procs files of its control groups, for the processes that hold its guests, and the counters of these groups, which `counters`
   * names. Never run: `destroy` removes it.
   */
  | ({ method: 'create'; id: string; container: ContainerConfig; groups: number; counters: string[] } & SentStreams)
  | { method: 'start'; id: string }
  | ({ method: 'exec'; id: string; process: ProcessConfig } & SentStreams)
  /** pid 0: the first process; before the start the signal is the container's end. */
  | { method: 'signal'; id: string; signal: number; pid: number; all: boolean }
  /** pid 0: the first process. Processes that exec made are told of once. */
  | { method: 'wait'; id: string; pid: number }
  /** Answered when the container says READY=1 on its socket (sd_notify(3)); an error when it ends before, or has none. */
  | { method: 'ready'; id: string }
  | { method: 'state'; id: string }
  | { method: 'ps'; id: string }
  | { method: 'statistics'; id: string }
  /** Other limits from now on. */
  | { method: 'update'; id: string; limits: LimitsConfig }
  | { method: 'pause'; id: string }
  | { method: 'resume'; id: string }
  | { method: 'resize'; id: string; pid: number; rows: number; cols: number }
  /** Kills all of the container and forgets it; the sandbox ends with its first one. */
  | { method: 'destroy'; id: string };

export interface PsRow {
  pid: number;
  ppid: number;
  uid: number;
  tty: string;
  cpuTimeMs: number;
  startTimeSec: number;
  state: string;
  cmd: string;
}

export type ControlResponse =
  | {
      ok: true /** exec: the guest pid */;
      pid?: number /** wait: wait(2) status */;
      status?: number /** wait: stopped by job control (do) */;
      stopped?: number;
      state?: 'created' | 'running' | 'paused' | 'stopped';
      ps?: PsRow[];
      statistics?: Record<string, number>;
    }
  | { ok: false; error: string /** negative errno where one applies */; errno?: number };
