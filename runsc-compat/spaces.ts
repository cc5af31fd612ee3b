// The namespaces of a container, as its stand-in is in them.

import type { ContainerRequest, IdMapping } from './launch.ts';
import type { Spec } from './spec/types.ts';

/** What the launcher is told of them. An ordinary user makes them all in a user namespace, where he alone exists unless told otherwise. */
export function spacesOf(spec: Spec): Pick<ContainerRequest, 'namespaces' | 'uidMappings' | 'gidMappings'> {
  const namespaces = [...(spec.linux?.namespaces ?? [])];
  const uidMappings = spec.linux?.uidMappings ?? [];
  const gidMappings = spec.linux?.gidMappings ?? [];
  const uid = process.geteuid?.() ?? 0;
  if (uid === 0 || namespaces.some((n) => n.type === 'user')) return { namespaces, uidMappings, gidMappings };
  const own = (id: number): IdMapping[] => [{ containerID: id, hostID: id, size: 1 }];
  return { namespaces: [...namespaces, { type: 'user' }], uidMappings: own(uid), gidMappings: own(process.getegid?.() ?? 0) };
}
