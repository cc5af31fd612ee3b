// Which of the host's calls the native half of an engine may be told to make.
import { EFAULT, EINVAL, ENOMEM, ENOSYS } from '../../abi/errno.ts';
import { MAP_FIXED } from '../../abi/mman.ts';
import {
  SYS_arch_prctl,
  SYS_madvise,
  SYS_membarrier,
  SYS_mincore,
  SYS_mmap,
  SYS_mprotect,
  SYS_mremap,
  SYS_msync,
  SYS_munmap,
} from '../../abi/nr.ts';
import { MIN_ADDRESS, STUB_BASE } from './layout.ts';

const ARCH_SET_GS = 0x1001;
const ARCH_SET_FS = 0x1002;
const MREMAP_FIXED = 2;

/** Which host calls a native half may be told to make, and with which addresses: the guest's own. 0 or -errno. */
export function admit(nr: number, a0: number, a1: number, a2: number, a3: number, a4: number): number {
  switch (nr) {
    case SYS_mmap:
      if ((a3 & MAP_FIXED) === 0) return -EINVAL;
      break;
    case SYS_mremap:
      if ((a3 & 1) !== 0 && (a3 & MREMAP_FIXED) === 0) return -EINVAL;
      if ((a3 & MREMAP_FIXED) !== 0 && !inside(a4, a2)) return -ENOMEM;
      break;
    case SYS_mincore:
      if (!inside(a2, Math.ceil(a1 / 4096))) return -EFAULT;
      break;
    case SYS_munmap:
      return inside(a0, a1) ? 0 : -EINVAL;
    case SYS_mprotect:
    case SYS_madvise:
    case SYS_msync:
      break;
    case SYS_membarrier:
      return 0;
    case SYS_arch_prctl:
      return a0 === ARCH_SET_GS || a0 === ARCH_SET_FS ? 0 : -EINVAL;
    default:
      return -ENOSYS;
  }
  return inside(a0, a1) ? 0 : -ENOMEM;
}

/** Are these the guest's own addresses? */
export function inside(addr: number, len: number): boolean {
  return addr >= MIN_ADDRESS && len >= 0 && addr + len <= STUB_BASE;
}
