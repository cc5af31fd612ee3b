// The socket on which a container says that it is ready (sd_notify(3)). It is bound inside, where the entrypoint has mounted a place for it;
// who waits for readiness outside is told by the control protocol, and tells the host's own socket.

import { POLLIN } from '../../abi/poll.ts';
import { MSG_DONTWAIT, SOCK_DGRAM } from '../../abi/socket.ts';
import { latin1Decode } from '../../base/bytes.ts';
import { WaitEntry } from '../../base/waitqueue.ts';
import { NOTIFY_PATH } from '../../wire/boot.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { KernelCaller } from '../kernel/kernelcaller.ts';
import type { NamespaceSet } from '../kernel/namespaces.ts';
import { Timer } from '../kernel/timers.ts';
import { Message } from '../net/message.ts';
import { netOf } from '../net/netns.ts';
import { UnixDgram } from '../net/unix/dgram.ts';
import { putUnixName } from '../net/unix/names.ts';
import type { Mount } from '../vfs/mount.ts';

/** Bytes of a message that are looked at: more than systemd takes. */
const LONGEST = 4096;
const ADDRESS = 128;

export class Readiness {
  /** The container has said READY=1. */
  ready = false;
  /** Called when it does. */
  onReady: () => void = () => {};
  private readonly caller: KernelCaller;
  private readonly socket: UnixDgram;
  private readonly entry: WaitEntry;
  private readonly look: Timer = new Timer(() => this.read());
  private readonly message = new Message();
  private readonly text = new Uint8Array(LONGEST);
  private readonly kernel: Kernel;

  private constructor(kernel: Kernel, root: Mount, container: string, ns: NamespaceSet) {
    this.kernel = kernel;
    this.caller = new KernelCaller(root, container, ns);
    this.socket = new UnixDgram(netOf(ns.net.key), SOCK_DGRAM);
    this.entry = new WaitEntry({ notify: () => kernel.addTimer(this.look, 0) });
  }

  /** Binds the socket in the tree of `root`. It, or -errno. */
  static bind(kernel: Kernel, root: Mount, container: string, ns: NamespaceSet): Readiness | number {
    const r = new Readiness(kernel, root, container, ns);
    const address = new Uint8Array(ADDRESS);
    const err = r.socket.bind(r.caller, address, putUnixName(address, NOTIFY_PATH));
    if (err < 0) {
      r.close();
      return err;
    }
    r.socket.queue.add(r.entry, POLLIN);
    return r;
  }

  /** Reads what has come. Words other than READY=1 concern nobody outside. */
  private read(): void {
    for (;;) {
      const n = this.socket.recv(this.caller, this.message.reset(this.text, 0, LONGEST, MSG_DONTWAIT));
      if (n < 0) return;
      for (const f of this.message.files ?? []) f.unref();
      const said = latin1Decode(this.text, 0, n).split('\n').includes('READY=1');
      if (!said || this.ready) continue;
      this.ready = true;
      this.onReady();
    }
  }

  close(): void {
    this.kernel.cancelTimer(this.look);
    this.entry.remove();
    this.socket.release();
    this.caller.fs.unref();
  }
}
