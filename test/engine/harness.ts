// Builds the engine and its guests into a directory of their own, and answers what guests ask.
import { execFileSync } from 'node:child_process';
import { mkdirSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { testEngine } from './engines.ts';
import type { MiniKernel, Task } from './kernel.ts';

const GUESTS = ['guest', 'hello', 'sites', 'traffic'];

/** Builds the native halves and compiles the guests; the answer is where they are. */
export function buildEngine(root: string, directory: string): string {
  mkdirSync(directory, { recursive: true });
  for (const part of testEngine().parts) execFileSync(path.join(root, 'native', part, 'build.sh'), [directory], { stdio: 'inherit' });
  for (const name of GUESTS) {
    const source = path.join(root, 'test/engine/guests', `${name}.c`);
    const flags = ['-O1', '-Wall', '-Wextra', '-Werror', '-mno-red-zone', '-static', '-pthread'];
    execFileSync('gcc', [...flags, '-o', path.join(directory, name), source], { stdio: 'inherit' });
  }
  return directory;
}

/** Compiles a guest of guests/bare.h to `directory`. Its path. */
export function buildBare(root: string, directory: string, name: string): string {
  const guests = path.join(root, 'test/engine/guests');
  const program = path.join(directory, `bare-${name}`);
  const plain = ['-O1', '-static', '-nostdlib', '-ffreestanding', '-fno-stack-protector', '-mgeneral-regs-only', '-mno-red-zone'];
  const flags = [...plain, '-fcf-protection=none', '-fno-pic', '-no-pie', '-Wall', '-Wextra', '-Werror'];
  execFileSync('gcc', [...flags, '-o', program, path.join(guests, `${name}.c`), path.join(guests, 'bare.c')], { stdio: 'inherit' });
  return program;
}

/** The answers to SYS_ASK of guest.c. */
export function answer(k: MiniKernel, directory: string): void {
  const program = openSync(path.join(directory, 'hello'), 'r');
  let spinning = 0;
  const text = Buffer.alloc(64);
  let storm = false;
  k.onInterrupt = (t) => {
    if (storm) return t.context.resumeFull();
    text.writeInt32LE(1, 0);
    t.context.addressSpace.write(spinning, text, 0, 4);
    t.context.resumeFull();
  };
  k.special = (t: Task, _nr: number, [what, address]: number[]): number => {
    const c = t.context;
    const space = c.addressSpace;
    const at = address as number;
    switch (what) {
      case 1:
        return c.fpSave(at);
      case 2:
        return c.fpLoad(at);
      case 3:
        spinning = at;
        c.interrupt(); // stopped: harmless
        setTimeout(() => c.interrupt(), 30);
        return 0;
      case 4:
        return c.mmap(at, 4096, 3, 2, program, 0);
      case 5: {
        const fd = openSync('/dev/shm', 0x410002); // O_TMPFILE | O_RDWR
        writeSync(fd, Buffer.alloc(4096));
        writeSync(fd, 'from the test\0', 0);
        k.shared = fd;
        return c.mmap(at, 4096, 3, 1, fd, 0);
      }
      case 6:
        space.read(at + 100, text, 0, 15);
        k.note = text.toString('latin1', 0, 14);
        return space.write(0x1000000000, text, 0, 4) === -14 && space.readUpTo(at + 4000, text, 0, 64) > 0 ? 0 : -1;
      case 7:
        setTimeout(() => process.kill((space as unknown as { pid: number }).pid, 'SIGKILL'), 20);
        return 0;
      case 8: {
        const bad = [space.read(at, text, 0, 8), space.write(at, text, 0, 8), space.read(at - 0x200004, text, 0, 8)];
        const calls = [
          c.hostcall(11, 0x7ff000000000, 4096, 0, 0, 0, 0),
          c.hostcall(10, 0x7feffffff000, 8192, 7, 0, 0, 0),
          c.hostcall(9, 0, 4096, 3, 0x22, -1, 0),
          c.hostcall(25, 0x400000, 4096, 4096, 1, 0, 0),
          c.hostcall(2, at, 0, 0, 0, 0, 0),
        ];
        return [...bad, ...calls].every((r) => r < 0) ? -14 : 0;
      }
      case 9: {
        storm = true;
        const timer = setInterval(() => {
          for (const other of k.tasks) other.context.interrupt();
          if (k.tasks.size === 0) clearInterval(timer);
        }, 1);
        return 0;
      }
      default:
        return -22;
    }
  };
}
