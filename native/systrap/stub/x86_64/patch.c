// Rewriting call sites: a `syscall` that traps again and again becomes a jump to a slot, and the slot enters the stub without a signal.
//
// Two shapes are safe to replace by a jump of five bytes while other threads run and whatever jumps where:
//
//   LEAF   b8 NR NR NR NR 0f 05    mov $nr,%eax; syscall. The jump takes the place of the mov alone; the syscall stays and traps, for
//                                  those who come to it in another way.
//   PAIR   0f 05 II II II ...      syscall and one instruction of three bytes or more that does not branch. It is
//                                  copied into the slot. A thread that comes to its old place finds a byte of the displacement there: the
//                                  slot is chosen such that this byte is an instruction that always faults, and the fault leads to the copy.
//
// What is neither keeps trapping. Slots are never given to another site, so that a thread may stand in one for ever.
#include "../../../stub/sys.h"
#include "../systrap.h"

#define SLOT_SIZE 64
#define SLOTS (RF_ISLAND_SIZE / SLOT_SIZE)
#define NEAR_LIMIT 0x7fff0000LL
#define JMP32 0xe9
#define TAIL_AT 20 // of a PAIR: after two lea and the jump through memory

#define TRAP_INT3 3
#define FLAG_TRAP 0x100

#define KIND_FREE 0
#define KIND_LEAF 1
#define KIND_PAIR 2

struct slot {
  unsigned char code[40];
  u64 entry; // what the code jumps through
  u64 site;  // of the syscall instruction
  uint8_t kind;
  uint8_t length; // of the copied instruction
  uint8_t old[3]; // first bytes of the original
  uint8_t padding[3];
};
_Static_assert(sizeof(struct slot) == SLOT_SIZE, "slots are found by their address");

#define SEEN 256
static struct {
  u64 rip;
  u32 count;
} seen[SEEN];

// The site that is being rewritten while other threads run: what they find there is not code yet.
static volatile u64 busy_site;
static volatile u64 busy_slot;
// The guest has a GS base of its own.
static volatile u32 given_up;

// One thread at a time rewrites.
static u32 lock;
#define LOCK_TRIES 1000000

#define MEMBARRIER_SYNC_CORE 32 // main.c has registered

static const u64 islands[2] = {RF_HIGH_ISLAND, RF_LOW_ISLAND};

static u64 island_of(const struct slot *s) { return (u64)s >= RF_HIGH_ISLAND ? RF_HIGH_ISLAND : RF_LOW_ISLAND; }

static struct slot *slot_at(u64 ip) {
  if (ip - RF_HIGH_ISLAND < RF_ISLAND_SIZE || ip - RF_LOW_ISLAND < RF_ISLAND_SIZE) return (struct slot *)(ip & ~(u64)(SLOT_SIZE - 1));
  return 0;
}

static int mapped(u64 page) {
  unsigned char resident;
  return sys3(__NR_mincore, page, 4096, (u64)&resident) == 0;
}

// Counts a trap at the call whose next instruction is at `rip`: RF_EVENT_SITE when it is time to rewrite it.
u32 site_event(u64 rip) {
  const u32 limit = load(&CONTROL->patch);
  if (limit == 0 || given_up || rip >= RF_STUB_BASE) return 0;
  const u32 i = (u32)(rip ^ rip >> 8) % SEEN;
  if (seen[i].rip != rip) {
    seen[i].rip = rip;
    seen[i].count = 0;
  }
  return ++seen[i].count == limit ? RF_EVENT_SITE : 0;
}

// Bytes of the instruction at `p`, of those that may be moved; 0 for all others. `relative`: where in it a displacement from rip stands,
// 0 if there is none.
static u32 movable(const unsigned char *p, u32 *relative) {
  u32 n = 0;
  *relative = 0;
  int wide = 0;
  if ((p[n] & 0xf0) == 0x40) wide = p[n++] & 8;
  const unsigned char op = p[n++];
  u32 immediate = 0;
  switch (op) {
  case 0x3d: // cmp $imm,%eax
  case 0xa9: // test $imm,%eax
    return n + 4;
  case 0x01: case 0x03: case 0x09: case 0x0b: case 0x21: case 0x23: case 0x29: case 0x2b:
  case 0x31: case 0x33: case 0x39: case 0x3b: case 0x63: case 0x84: case 0x85: case 0x88:
  case 0x89: case 0x8a: case 0x8b: case 0x8d:
    break;
  case 0x80: case 0x83: case 0xc6:
    immediate = 1;
    break;
  case 0xf7: // test, not, neg
    if ((p[n] & 0x38) > 0x18) return 0;
    immediate = (p[n] & 0x30) == 0 ? 4 : 0;
    break;
  case 0x81: case 0xc7:
    immediate = 4;
    break;
  case 0x0f:
    if ((p[n] & 0xf0) == 0x40 || p[n] == 0xb6 || p[n] == 0xb7 || p[n] == 0xbe || p[n] == 0xbf || p[n] == 0x1f) { // cmov, movzx, movsx, nop
      n++;
      break;
    }
    return 0;
  default:
    if (op >= 0xb8 && op <= 0xbf) return n + (wide ? 8 : 4); // mov $imm,%reg
    return 0;
  }
  const unsigned char modrm = p[n++];
  const u32 mod = modrm >> 6;
  const u32 rm = modrm & 7;
  if (mod != 3 && rm == 4) {
    const unsigned char sib = p[n++];
    if (mod == 0 && (sib & 7) == 5) n += 4;
  } else if (mod == 0 && rm == 5) {
    *relative = n;
    n += 4;
  }
  if (mod == 1) n += 1;
  if (mod == 2) n += 4;
  return n + immediate;
}

// Instructions of one byte that do not exist in 64-bit mode, int3 and hlt: whoever runs into one is sent on by a signal.
static int always_faults(u32 byte) {
  static const unsigned char list[] = {0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37,
                                       0x3f, 0x60, 0x61, 0x9a, 0xcc, 0xce, 0xd4, 0xea, 0xf4};
  for (u32 i = 0; i < sizeof list; i++) {
    if (list[i] == byte) return 1;
  }
  return 0;
}

// Is the 0xb8 at `p` no opcode, but part of an instruction that ends in four immediate bytes? `p` has seven bytes before it. Then it is
// displacement or SIB byte of one of a few, or belongs to a register of the upper eight.
static int in_another(const unsigned char *p) {
  if ((p[-1] & 0xf1) == 0x41) return 1; // REX.B
  for (int back = 2; back <= 6; back++) {
    const unsigned char op = p[-back];
    if (op != 0x69 && op != 0x81 && op != 0xc7 && op != 0xf7) continue;
    const unsigned char modrm = p[1 - back];
    const int sib = (modrm & 7) == 4;
    const int displacement = modrm >> 6 == 1 ? 1 : modrm >> 6 == 2 ? 4 : 0;
    if (modrm >> 6 != 3 && back == 1 + sib + displacement) return 1;
  }
  return 0;
}

// A free slot that a jump at `from` reaches, for a PAIR one whose displacement has a fault in its second byte.
static struct slot *find_slot(u64 from, int pair) {
  for (u32 i = 0; i < 2; i++) {
    struct slot *s = (struct slot *)islands[i];
    s64 distance = (s64)((u64)s - from);
    if (distance > NEAR_LIMIT || distance < -NEAR_LIMIT) continue;
    if (!mapped((u64)s)) {
      // On demand: a program that does not need the low island finds nothing there, as on a bare host.
      const u64 flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
      if (sys6(__NR_mmap, (u64)s, RF_ISLAND_SIZE, PROT_READ | PROT_EXEC, flags, (u64)-1, 0) < 0) continue;
    }
    for (u32 k = 0; k < SLOTS; k++, s++) {
      const u32 displacement = (u32)((u64)s - (from + 5));
      if (pair && !always_faults(displacement >> 8 & 0xff)) continue;
      if (s->kind == KIND_FREE) return s;
    }
  }
  return 0;
}

static unsigned char *put32(unsigned char *p, u64 to) {
  const u32 displacement = (u32)(to - ((u64)p + 4));
  __builtin_memcpy(p, &displacement, 4);
  return p + 4;
}

static unsigned char *put_lea(unsigned char *p, unsigned char rex, unsigned char modrm, u64 to) {
  *p++ = rex;
  *p++ = 0x8d;
  *p++ = modrm;
  return put32(p, to);
}

static void fill_slot(struct slot *s, u64 site, const unsigned char *after, u32 length, u32 relative, u32 nr) {
  unsigned char *p = s->code;
  const u64 back = site + 2;
  if (length == 0) {
    *p++ = 0xb8;
    __builtin_memcpy(p, &nr, 4);
    p += 4;
  }
  p = put_lea(p, 0x48, 0x0d, back);                                    // lea back(%rip),%rcx
  p = put_lea(p, 0x4c, 0x1d, length == 0 ? back : (u64)s + TAIL_AT); // lea ...(%rip),%r11
  *p++ = 0xff;                                                         // jmp *entry(%rip)
  *p++ = 0x25;
  p = put32(p, (u64)&s->entry);
  if (length != 0) {
    memcpy(p, after, length);
    if (relative != 0) {
      int d;
      __builtin_memcpy(&d, p + relative, 4);
      d += (int)(back - (u64)p); // reaches() has seen that it fits
      __builtin_memcpy(p + relative, &d, 4);
    }
    p += length;
    *p++ = JMP32;
    put32(p, back + length);
  }
  s->entry = (u64)stub_entry;
  s->site = site;
  s->length = (uint8_t)length;
  memcpy(s->old, after, sizeof s->old);
  __atomic_store_n(&s->kind, length == 0 ? KIND_LEAF : KIND_PAIR, __ATOMIC_RELEASE);
}

// Can the displacement from rip in the instruction at `after` be that of its copy?
static int reaches(const struct slot *s, u64 site, const unsigned char *after, u32 relative) {
  if (relative == 0) return 1;
  int d;
  __builtin_memcpy(&d, after + relative, 4);
  const s64 moved = (s64)d + (s64)(site + 2 - ((u64)s + TAIL_AT));
  return moved == (int)moved;
}

static void synchronise(int threads) {
  if (threads) sys3(__NR_membarrier, MEMBARRIER_SYNC_CORE, 0, 0);
}

static void store(u64 at, unsigned char byte) { __atomic_store_n((unsigned char *)at, byte, __ATOMIC_SEQ_CST); }

// Bytes of a PAIR before they are a jump again, the same with care: the second instruction is whole before its first byte is back.
static void write_original(u64 at, const unsigned char *old) {
  store(at, 0xcc);
  synchronise(1);
  store(at + 1, old[1]);
  store(at + 3, old[3]);
  store(at + 4, old[4]);
  synchronise(1);
  store(at + 2, old[2]);
  synchronise(1);
  store(at, old[0]);
  synchronise(1);
}

// Writes five bytes of code at `at`. With other threads about: int3 first, which holds up whoever comes (PLACE_AGAIN), and the byte that
// stands where a PAIR's second instruction was before its neighbours, so that no mixture is ever executed.
static void write_jump(u64 at, const unsigned char *jump, int threads) {
  if (threads) {
    store(at, 0xcc);
    store(at + 2, jump[2]);
    synchronise(1);
  }
  store(at + 2, jump[2]);
  store(at + 1, jump[1]);
  store(at + 3, jump[3]);
  store(at + 4, jump[4]);
  synchronise(threads);
  store(at, jump[0]);
  synchronise(threads);
}

static s64 protect(u64 address, u64 length, u64 prot) {
  const u64 first = address & ~4095ULL;
  return sys3(__NR_mprotect, first, ((address + length + 4095) & ~4095ULL) - first, prot);
}

// Rewrites the call at `site`, whose pages are private, executable and not writable (`prot`); `nr` is what was called there. 0, or -errno:
// it has no shape that is known to be safe, no slot is near, or a page cannot be changed.
static s64 rewrite(u64 site, u64 prot, int threads, u64 nr) {
  unsigned char before[32] = {0};
  unsigned char *code = before + 8;
  if (given_up || site < RF_MIN_ADDRESS + 16 || site > RF_STUB_BASE - 32) return -EINVAL;
  if (stub_copy(code, (const void *)(site - 5), 5 + 16) < 0 || code[5] != 0x0f || code[6] != 0x05) return -EINVAL;
  stub_copy(before, (const void *)(site - 13), 8); // what cannot be read is no code
  u32 number;
  __builtin_memcpy(&number, code + 1, 4);
  const int leaf = code[0] == 0xb8 && number == nr && !in_another(code);
  if (code[0] == JMP32) {
    const struct slot *other = slot_at(site + (u64)(s64)(int)number);
    if (other != 0 && other->kind == KIND_LEAF && other->site == site) return -EINVAL; // done, and somebody came past the jump
  }
  u32 relative = 0;
  const u32 length = leaf ? 0 : movable(code + 7, &relative);
  if (!leaf && (length < 3 || length > 15)) return -EINVAL;
  const u64 at = leaf ? site - 5 : site;
  struct slot *s = find_slot(at, !leaf);
  if (s == 0 || !reaches(s, site, code + 7, relative)) return -ENOSPC;
  if (protect(island_of(s), RF_ISLAND_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC) < 0) return -ENOSPC;
  fill_slot(s, site, code + 7, length, relative, number);
  // Nothing is possible beside other threads without a way to tell their processors.
  if (threads && sys3(__NR_membarrier, MEMBARRIER_SYNC_CORE, 0, 0) < 0) {
    s->kind = KIND_FREE;
    return -ENOSPC;
  }
  const s64 r = protect(at, 5, prot | PROT_WRITE);
  if (r < 0) {
    s->kind = KIND_FREE;
    return r;
  }
  unsigned char jump[5] = {JMP32};
  const u32 displacement = (u32)((u64)s - (at + 5));
  __builtin_memcpy(jump + 1, &displacement, 4);
  busy_slot = (u64)s;
  busy_site = at;
  if (leaf) {
    // Nobody can stand inside the mov: only its first byte is ever looked at.
    if (threads) {
      store(at, 0xcc);
      synchronise(1);
    }
    for (u32 i = 1; i < 5; i++) store(at + i, jump[i]);
    synchronise(threads);
    store(at, JMP32);
    synchronise(threads);
  } else {
    write_jump(at, jump, threads);
  }
  busy_site = 0;
  protect(at, 5, prot);
  protect(island_of(s), RF_ISLAND_SIZE, PROT_READ | PROT_EXEC);
  return 0;
}

s64 patch_site(u64 site, u64 prot, int threads, u64 nr) {
  if (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE)) return -EINVAL;
  const s64 r = rewrite(site, prot, threads, nr);
  __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
  return r;
}

// Puts every call site back as it was. A thread that stands in a slot goes on there.
void forget_sites(void) {
  given_up = 1;
  // Another thread may be rewriting; one that did so when this process was copied from another is not here and will not end.
  for (u32 i = 0; i < LOCK_TRIES && __atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE); i++) __asm__ volatile("pause");
  for (u32 i = 0; i < 2; i++) {
    struct slot *s = (struct slot *)islands[i];
    if (!mapped((u64)s)) continue;
    for (u32 k = 0; k < SLOTS; k++, s++) {
      if (s->kind == KIND_FREE) continue;
      const u64 at = s->kind == KIND_LEAF ? s->site - 5 : s->site;
      unsigned char now[5];
      const u32 displacement = (u32)((u64)s - (at + 5));
      if (stub_copy(now, (const void *)at, 5) < 0 || now[0] != JMP32 || __builtin_memcmp(now + 1, &displacement, 4) != 0) continue;
      unsigned char old[5] = {0x0f, 0x05, s->old[0], s->old[1], s->old[2]};
      if (s->kind == KIND_LEAF) memcpy(old, s->code, 5);
      if (protect(at, 5, PROT_READ | PROT_WRITE | PROT_EXEC) < 0) continue;
      busy_slot = (u64)s;
      busy_site = at;
      write_original(at, old);
      busy_site = 0;
      protect(at, 5, PROT_READ | PROT_EXEC);
    }
  }
  __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

// The slot that the jump at `at` leads to, if it is one of ours.
static struct slot *jump_slot(u64 at) {
  unsigned char code[5];
  if (stub_copy(code, (const void *)at, 5) < 0 || code[0] != JMP32) return 0;
  int d;
  __builtin_memcpy(&d, code + 1, 4);
  struct slot *s = slot_at(at + 5 + (u64)(s64)d);
  if (s == 0 || s->kind == KIND_FREE) return 0;
  return (s->kind == KIND_LEAF ? s->site - 5 : s->site) == at ? s : 0;
}

// Was the syscall at `site` rewritten once, and is it as it was?
static int put_back(u64 site) {
  unsigned char code[2];
  if (!given_up || stub_copy(code, (const void *)site, 2) < 0 || code[0] != 0x0f || code[1] != 0x05) return 0;
  for (u32 i = 0; i < 2; i++) {
    if (!mapped(islands[i])) continue;
    const struct slot *s = (const struct slot *)islands[i];
    for (u32 k = 0; k < SLOTS; k++) {
      if (s[k].kind == KIND_PAIR && s[k].site == site) return 1;
    }
  }
  return 0;
}

// Says what a signal's instruction pointer means to the guest, and puts the registers right: PLACE_GUEST, just that; PLACE_CALL, it was on
// its way to a call, which the registers now show as if it had trapped; PLACE_TAIL, in the copy of an instruction, the pointer now shows
// the original; PLACE_AGAIN, the fault was of our making and the guest goes on at once.
enum place place_of(struct sigcontext *m, int signal, int code) {
  struct slot *s = slot_at(m->rip);
  if (s != 0) {
    if (s->kind == KIND_FREE) return PLACE_GUEST;
    const u64 offset = m->rip - (u64)s;
    if (s->kind == KIND_PAIR && offset >= TAIL_AT) {
      m->rip = s->site + 2 + (offset >= TAIL_AT + (u64)s->length ? s->length : 0);
      return PLACE_TAIL;
    }
    if (signal == RF_INTERRUPT_SIGNAL) return PLACE_AGAIN; // the call's event serves as well
    if (s->kind == KIND_LEAF) {
      u32 nr;
      __builtin_memcpy(&nr, s->code + 1, 4);
      m->rax = nr;
      if (signal == SIGTRAP && (m->eflags & FLAG_TRAP)) {
        m->rip = s->site; // a step over the mov
        return PLACE_TAIL;
      }
    }
    m->rip = s->site + 2;
    m->rcx = m->rip;
    m->r11 = m->eflags;
    return PLACE_CALL;
  }
  if (signal != SIGTRAP && signal != SIGILL && !(signal == SIGSEGV && code == 0x80)) return PLACE_GUEST;
  // int3 leaves the pointer behind itself, all other faults where they are.
  const u64 at = signal == SIGTRAP ? m->rip - 1 : m->rip;
  const u64 site = busy_site;
  if (site != 0 && signal == SIGTRAP && at == site) {
    m->rip = at;
    return PLACE_AGAIN;
  }
  if (site != 0 && at == site + 2 && ((struct slot *)busy_slot)->kind == KIND_PAIR) {
    m->rip = busy_slot + TAIL_AT;
    return PLACE_AGAIN;
  }
  if (signal == SIGTRAP && m->trapno == TRAP_INT3 && jump_slot(at) != 0) {
    m->rip = at; // it was being rewritten when the thread came, and is now
    return PLACE_AGAIN;
  }
  s = jump_slot(at - 2);
  if (s == 0 || s->kind != KIND_PAIR) {
    if (!put_back(at - 2)) return PLACE_GUEST;
    m->rip = at;
    return PLACE_AGAIN;
  }
  m->rip = (u64)s + TAIL_AT;
  return PLACE_AGAIN;
}
