// The texts of /proc/net (proc_pid_net(5)).

import { AF_INET } from '../../abi/socket.ts';
import { ANY6, LOOPBACK6 } from './inet/addr.ts';
import type { InetSocket } from './inet/socket.ts';
import { inetTables } from './inet/tables.ts';
import { TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN, type TcpSocket } from './inet/tcp.ts';
import { UdpSocket } from './inet/udp.ts';
import { type NetNs, netOf } from './netns.ts';
import { unixTable } from './unix/names.ts';
import { CONNECTED, LISTENING, type UnixSocket } from './unix/socket.ts';

function hex(v: number, width: number): string {
  return (v >>> 0).toString(16).toUpperCase().padStart(width, '0');
}

function swap32(v: number): number {
  return ((v & 0xff) << 24) | ((v & 0xff00) << 8) | ((v >>> 8) & 0xff00) | (v >>> 24);
}

/** Address and port as the kernel prints them: words of the host's byte order. */
function endpoint(v4: boolean, ip: number, port: number): string {
  let a: string;
  if (v4) a = hex(swap32(ip), 8);
  else if (ip === ANY6) a = '0'.repeat(32);
  else if (ip === LOOPBACK6) a = `${'0'.repeat(24)}01000000`;
  else a = `${'0'.repeat(16)}FFFF0000${hex(swap32(ip), 8)}`;
  return `${a}:${hex(port, 4)}`;
}

function tcp(ns: NetNs, v4: boolean): string {
  let out = v4
    ? '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode'.padEnd(149)
    : '  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
  out += '\n';
  let n = 0;
  inetTables(ns).tcp.forEach((h) => {
    const s = h as TcpSocket;
    if (s.state === TCP_CLOSE || (s.family === AF_INET) !== v4) return;
    const rx = s.state === TCP_LISTEN ? s.acceptQueue.length : s.rx.length;
    const tx = s.state === TCP_LISTEN ? s.backlog : s.outstandingBytes();
    const line =
      `${String(n).padStart(4)}: ${endpoint(v4, s.localIp, s.localPort)} ${endpoint(v4, s.remoteIp, s.remotePort)} ${hex(s.state, 2)} ` +
      `${hex(tx, 8)}:${hex(rx, 8)} 00:00000000 00000000 ${String(s.uid).padStart(5)}        0 ${s.ino} 1 0000000000000000 ` +
      (s.state === TCP_LISTEN ? '100 0 0 10 0' : '20 0 0 10 -1');
    out += `${v4 ? line.padEnd(149) : line}\n`;
    n++;
  });
  return out;
}

function udp(ns: NetNs, v4: boolean): string {
  let out = v4
    ? '   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops             '
    : '  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops';
  out += '\n';
  inetTables(ns).udp.forEach((h) => {
    const s = h as InetSocket;
    if (!(s instanceof UdpSocket) || (s.family === AF_INET) !== v4) return;
    const line =
      `${String(s.localPort % 65536).padStart(5)}: ${endpoint(v4, s.localIp, s.localPort)} ${endpoint(v4, s.remoteIp, s.remotePort)} ` +
      `${hex(s.hasPeer ? TCP_ESTABLISHED : TCP_CLOSE, 2)} 00000000:${hex(s.queuedBytes, 8)} 00:00000000 00000000 ` +
      `${String(s.uid).padStart(5)}        0 ${s.ino} 2 0000000000000000 ${s.drops}`;
    out += `${v4 ? line.padEnd(127) : line}\n`;
  });
  return out;
}

function unix(ns: NetNs): string {
  let out = 'Num       RefCount Protocol Flags    Type St Inode Path\n';
  for (const s of unixTable(ns).all as Set<UnixSocket>) {
    const flags = s.state === LISTENING ? '00010000' : '00000000';
    const path = s.name === '' ? '' : ` ${s.name.replace(/\0/g, '@')}`;
    const refs = s.state === CONNECTED ? 3 : 2;
    const st = s.state === CONNECTED ? '03' : '01';
    out += `0000000000000000: ${hex(refs, 8)} 00000000 ${flags} ${hex(s.type, 4)} ${st} ${String(s.ino).padStart(5)}${path}\n`;
  }
  return out;
}

function dev(ns: NetNs): string {
  const { bytes, packets } = ns.lo;
  const side = `${String(bytes).padStart(8)} ${String(packets).padStart(7)}    0    0    0     0          0         0`;
  const other = `${String(bytes).padStart(8)} ${String(packets).padStart(7)}    0    0    0     0       0          0`;
  return (
    'Inter-|   Receive                                                |  Transmit\n' +
    ' face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n' +
    `    lo: ${side} ${other}\n`
  );
}

function sockstat(ns: NetNs): string {
  let inuse = 0;
  let datagrams = 0;
  inetTables(ns).tcp.forEach(() => inuse++);
  inetTables(ns).udp.forEach(() => datagrams++);
  const all = inuse + datagrams + unixTable(ns).all.size;
  return (
    `sockets: used ${all}\nTCP: inuse ${inuse} orphan 0 tw 0 alloc ${inuse} mem 0\nUDP: inuse ${datagrams} mem 0\n` +
    'UDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n'
  );
}

const SNMP =
  'Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests ' +
  'OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates\n' +
  'Ip: 2 64 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n' +
  'Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs ' +
  'InErrs OutRsts InCsumErrors\nTcp: 1 200 120000 -1 0 0 0 0 0 0 0 0 0 0 0\n' +
  'Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors\n' +
  'Udp: 0 0 0 0 0 0 0 0 0\n';

const FIB =
  'Local:\n  +-- 0.0.0.0/0 3 0 5\n     +-- 127.0.0.0/8 2 0 2\n        +-- 127.0.0.0/31 1 0 0\n           |-- 127.0.0.0\n' +
  '              /8 host LOCAL\n           |-- 127.0.0.1\n              /32 host LOCAL\n        |-- 127.255.255.255\n' +
  '           /32 link BROADCAST\n';

const LOOPBACK_HEX = '00000000000000000000000000000001';
const ANY_HEX = '00000000000000000000000000000000';

/** The files of /proc/net: name to a function that renders the text now, for the namespace with the given key. */
export function procNet(kernel: object): ReadonlyMap<string, (key?: object) => string> {
  const net = (key: object | undefined): NetNs => netOf(key ?? kernel);
  const udplite = udpHeader(true);
  return new Map<string, (key?: object) => string>([
    ['tcp', (k) => tcp(net(k), true)],
    ['tcp6', (k) => tcp(net(k), false)],
    ['udp', (k) => udp(net(k), true)],
    ['udp6', (k) => udp(net(k), false)],
    ['udplite', () => udplite],
    ['udplite6', () => udpHeader(false)],
    ['raw', () => '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n'],
    ['raw6', () => udpHeader(false)],
    ['unix', (k) => unix(net(k))],
    ['dev', (k) => dev(net(k))],
    ['route', () => `${'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT'.padEnd(127)}\n`],
    ['ipv6_route', () => `${LOOPBACK_HEX} 80 ${ANY_HEX} 00 ${ANY_HEX} 00000000 00000002 00000000 80200001       lo\n`],
    ['if_inet6', () => `${LOOPBACK_HEX} 01 80 10 80       lo\n`],
    ['arp', () => 'IP address       HW type     Flags       HW address            Mask     Device\n'],
    ['netlink', () => 'sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n'],
    ['packet', () => 'sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n'],
    [
      'protocols',
      () => `protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi br ha uh gp em\n`,
    ],
    ['ptype', () => 'Type Device      Function\n'],
    ['psched', () => '000003e8 00000040 000f4240 3b9aca00\n'],
    ['sockstat', (k) => sockstat(net(k))],
    ['snmp', () => SNMP],
    ['netstat', () => 'TcpExt: SyncookiesSent\nTcpExt: 0\nIpExt: InNoRoutes\nIpExt: 0\n'],
    ['fib_trie', () => `Main:\n${FIB.slice(7)}${FIB}`],
    ['igmp', () => 'Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n'],
    ['dev_mcast', () => ''],
    [
      'wireless',
      () =>
        'Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22\n',
    ],
  ]);
}

function udpHeader(v4: boolean): string {
  return v4
    ? '   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops             \n'
    : '  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n';
}

/** Sysctls below /proc/sys/net that programs look at: dotted name to its text. */
export const NET_SYSCTLS: ReadonlyMap<string, string> = new Map([
  ['net.core.somaxconn', '4096'],
  ['net.core.rmem_default', '212992'],
  ['net.core.rmem_max', '212992'],
  ['net.core.wmem_default', '212992'],
  ['net.core.wmem_max', '212992'],
  ['net.core.optmem_max', '20480'],
  ['net.core.netdev_max_backlog', '1000'],
  ['net.unix.max_dgram_qlen', '10'],
  ['net.ipv4.ip_forward', '0'],
  ['net.ipv4.ip_local_port_range', '32768\t60999'],
  ['net.ipv4.ip_unprivileged_port_start', '1024'],
  ['net.ipv4.ip_local_reserved_ports', ''],
  ['net.ipv4.ip_default_ttl', '64'],
  ['net.ipv4.ping_group_range', '0\t2147483647'],
  ['net.ipv4.tcp_rmem', '4096\t131072\t6291456'],
  ['net.ipv4.tcp_wmem', '4096\t16384\t4194304'],
  ['net.ipv4.tcp_keepalive_time', '7200'],
  ['net.ipv4.tcp_keepalive_intvl', '75'],
  ['net.ipv4.tcp_keepalive_probes', '9'],
  ['net.ipv4.tcp_syncookies', '1'],
  ['net.ipv4.tcp_sack', '1'],
  ['net.ipv4.tcp_timestamps', '1'],
  ['net.ipv4.tcp_window_scaling', '1'],
  ['net.ipv4.tcp_fin_timeout', '60'],
  ['net.ipv4.tcp_max_syn_backlog', '512'],
  ['net.ipv4.tcp_congestion_control', 'cubic'],
  ['net.ipv4.tcp_available_congestion_control', 'reno cubic'],
  ['net.ipv4.tcp_allowed_congestion_control', 'reno cubic'],
  ['net.ipv6.bindv6only', '0'],
  ['net.ipv6.conf.all.disable_ipv6', '0'],
  ['net.ipv6.conf.default.disable_ipv6', '0'],
  ['net.ipv6.conf.lo.disable_ipv6', '0'],
]);
