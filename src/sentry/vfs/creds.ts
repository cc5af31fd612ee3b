// Credentials of a task (credentials(7), capabilities(7)). Immutable once shared: change a copy, then put it in place.

/** A set of capabilities as two 32-bit words. */
export interface CapSet {
  lo: number;
  hi: number;
}

export class Credentials {
  ruid = 0;
  euid = 0;
  suid = 0;
  fsuid = 0;
  rgid = 0;
  egid = 0;
  sgid = 0;
  fsgid = 0;
  groups: number[] = [];
  permitted: CapSet = { lo: 0, hi: 0 };
  effective: CapSet = { lo: 0, hi: 0 };
  inheritable: CapSet = { lo: 0, hi: 0 };
  bounding: CapSet = { lo: 0xffffffff, hi: 0x1ff };
  ambient: CapSet = { lo: 0, hi: 0 };
  securebits = 0;
  noNewPrivs = false;

  clone(): Credentials {
    const c = new Credentials();
    c.ruid = this.ruid;
    c.euid = this.euid;
    c.suid = this.suid;
    c.fsuid = this.fsuid;
    c.rgid = this.rgid;
    c.egid = this.egid;
    c.sgid = this.sgid;
    c.fsgid = this.fsgid;
    c.groups = this.groups.slice();
    c.permitted = { ...this.permitted };
    c.effective = { ...this.effective };
    c.inheritable = { ...this.inheritable };
    c.bounding = { ...this.bounding };
    c.ambient = { ...this.ambient };
    c.securebits = this.securebits;
    c.noNewPrivs = this.noNewPrivs;
    return c;
  }

  /** True if capability number `cap` (CAP_*) is effective. */
  has(cap: number): boolean {
    return hasCap(this.effective, cap);
  }

  /** True if `gid` is the file-system group or a supplementary one (in_group_p). */
  inGroup(gid: number): boolean {
    return this.fsgid === gid || this.groups.includes(gid);
  }
}

export function hasCap(s: CapSet, cap: number): boolean {
  return cap < 32 ? ((s.lo >>> cap) & 1) === 1 : ((s.hi >>> (cap - 32)) & 1) === 1;
}
