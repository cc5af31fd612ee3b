// What every kind of namespace has (namespaces(7)).

/** A namespace whose contents another part keeps, found by `key`. */
export class Namespace {
  /** CLONE_NEW*. */
  readonly kind: number;
  /** Inode number of its nsfs file. */
  readonly ino: number;
  /** What tables of its contents are keyed by: the kernel for the first namespace of a kind. */
  readonly key: object;
  /** Values of /proc/sys that belong to it, by dotted name, where they were configured or written. */
  readonly sysctls: Map<string, string> = new Map();

  constructor(kind: number, ino: number, key: object | null) {
    this.kind = kind;
    this.ino = ino;
    this.key = key ?? this;
  }
}
