// The control protocol between the entrypoint's commands and a running Sentry.
//
// SOCK_SEQPACKET on a unix socket. One request is one packet of JSON (UTF-8, at most MAX_PACKET bytes), descriptors ride on it with
// SCM_RIGHTS; one packet of JSON answers it. A connection carries any number of requests, one after another; `wait` answers late.
//
// A stand-in (native/launch/standin.c) has a socket of its own to the Sentry, SOCK_SEQPACKET too: one byte towards the Sentry is the number of
// a signal for the process that it stands for (SIGWINCH: the terminal given by --console-socket has another size, read it again from
// the console's descriptor); four bytes towards the stand-in are the wait(2) status, little endian. The end of the socket is SIGKILL.

import type { LimitsConfig, ProcessConfig } from './boot.ts';

export const MAX_PACKET = 192 * 1024;

export type ControlRequest =
  | { method: 'start'; id: string }
  /** descriptors on the packet: streams in the order that `streams` names them, then console in/out if terminal, then the extra ones, last the stand-in socket if `standin`. */
  | {
      method: 'exec';
      id: string;
      process: ProcessConfig;
      streams: ('in' | 'out' | 'err')[];
      console: boolean;
      extra: number;
      standin: boolean;
    }
  | { method: 'signal'; id: string; signal: number; pid: number; all: boolean }
  | { method: 'wait'; id: string; pid: number }
  | { method: 'state'; id: string }
  | { method: 'ps'; id: string }
  | { method: 'statistics'; id: string }
  /** Other limits from now on. */
  | { method: 'update'; id: string; limits: LimitsConfig }
  | { method: 'pause'; id: string }
  | { method: 'resume'; id: string }
  | { method: 'resize'; id: string; pid: number; rows: number; cols: number }
  /** Kills all of the container and ends the sandbox when it was the last. */
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
