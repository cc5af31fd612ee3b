// SO_TIMESTAMP and SO_TIMESTAMPNS (socket(7)): when a message was received, as a control message.

import { SO_TIMESTAMP, SO_TIMESTAMP_NEW, SO_TIMESTAMPNS, SO_TIMESTAMPNS_NEW, SOL_SOCKET } from '../../abi/socket.ts';
import { putU64 } from '../../base/bytes.ts';
import { realtime } from '../../base/clock.ts';
import type { Message } from './message.ts';
import type { Socket } from './socket.ts';

const now = new Float64Array(2);

export function addTimestamps(s: Socket, m: Message): void {
  const ns =
    s.storedOption(SOL_SOCKET, SO_TIMESTAMPNS) !== 0
      ? SO_TIMESTAMPNS
      : s.storedOption(SOL_SOCKET, SO_TIMESTAMPNS_NEW) !== 0
        ? SO_TIMESTAMPNS_NEW
        : 0;
  const us =
    s.storedOption(SOL_SOCKET, SO_TIMESTAMP) !== 0
      ? SO_TIMESTAMP
      : s.storedOption(SOL_SOCKET, SO_TIMESTAMP_NEW) !== 0
        ? SO_TIMESTAMP_NEW
        : 0;
  if (ns === 0 && us === 0) return;
  realtime(now);
  const b = new Uint8Array(16);
  putU64(b, 0, now[0]!);
  putU64(b, 8, ns !== 0 ? now[1]! : Math.floor(now[1]! / 1000));
  m.addControl(SOL_SOCKET, ns !== 0 ? ns : us, b);
}
