// The namespaces of a container, as its stand-in is in them.

import { displayName } from '../src/host/paths.ts';
import type { ContainerRequest, IdMapping } from './launch.ts';
import type { Spec } from './spec/types.ts';

/** What the launcher is told of them. An ordinary user makes them all in a user namespace, where he alone exists unless told otherwise. */
export function spacesOf(spec: Spec): Pick<ContainerRequest, 'namespaces' | 'uidMappings' | 'gidMappings' | 'rootPropagation'> {
  const namespaces = [...(spec.linux?.namespaces ?? [])];
  const uidMappings = spec.linux?.uidMappings ?? [];
  const gidMappings = spec.linux?.gidMappings ?? [];
  const rootPropagation = spec.linux?.rootfsPropagation;
  const uid = process.geteuid?.() ?? 0;
  if (uid === 0 || namespaces.some((n) => n.type === 'user')) return { namespaces, uidMappings, gidMappings, rootPropagation };
  const own = (id: number): IdMapping[] => [{ containerID: id, hostID: id, size: 1 }];
  return {
    namespaces: [...namespaces, { type: 'user' }],
    uidMappings: own(uid),
    gidMappings: own(process.getegid?.() ?? 0),
    rootPropagation,
  };
}

const PROPAGATION = /^r?(private|slave|shared|unbindable)$/;

/** How the stand-in is to see the container's files: directives of the launcher's plan. Only in a mount namespace of its own. */
export function rootPlan(r: ContainerRequest): string[] {
  const root = r.attach[0];
  if (root === undefined || !r.namespaces.some((n) => n.type === 'mount' && (n.path ?? '') === '')) return [];
  const c = r.container;
  // What is written beside an overlay of the Sentry's would never be seen.
  const readonly = c.rootReadonly || c.overlay;
  const plan = ['root', root.source, r.rootPropagation ?? '', readonly ? 'o' : ''];
  for (const m of c.mounts) {
    const bind = r.attach[m.attach];
    const spread = m.options.filter((o) => PROPAGATION.test(o)).at(-1) ?? '';
    const flags = `${m.readonly ? 'o' : ''}${m.noexec ? 'x' : ''}${bind?.recursive === true ? 'r' : ''}`;
    plan.push('mount', displayName(m.destination), m.type, bind?.source ?? '', displayName(spread), flags);
  }
  return plan;
}
