// Image archives, written by hand: what `docker save` and the OCI image layout define, without a daemon and without a registry.

import { createHash } from 'node:crypto';
import { copyFileSync, linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../../support/fixtures.ts';

/** What an image says of the process to run, under the OCI image specification's names. */
export interface ImageProcess {
  Env?: string[];
  Entrypoint?: string[];
  Cmd?: string[];
  WorkingDir?: string;
  User?: string;
  StopSignal?: string;
}

/** The hex digest of a file. */
function digest(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

/** The image configuration: the same JSON in both formats. Layers are tar files, lowest first. */
function imageConfig(layers: string[], process: ImageProcess): string {
  return JSON.stringify({
    created: '2024-01-01T00:00:00Z',
    architecture: 'amd64',
    os: 'linux',
    config: process,
    rootfs: { type: 'layers', diff_ids: layers.map((l) => `sha256:${digest(l)}`) },
    history: layers.map(() => ({ created: '2024-01-01T00:00:00Z', created_by: 'test' })),
  });
}

/** The same file under a second name; a copy where links cannot be. */
function share(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch {
    copyFileSync(from, to);
  }
}

function pack(folder: string, names: string[], output: string): void {
  must(['tar', '-C', folder, '--sort=name', '--hard-dereference', '--owner=0', '--group=0', '-cf', output, ...names]);
  rmSync(folder, { recursive: true });
}

/** Writes what `docker load`, `podman load` and `ctr image import` read. */
export function dockerArchive(output: string, reference: string, layers: string[], process: ImageProcess): void {
  const folder = `${output}.parts`;
  mkdirSync(folder);
  const config = imageConfig(layers, process);
  const name = `${createHash('sha256').update(config).digest('hex')}.json`;
  writeFileSync(join(folder, name), config);
  const paths = layers.map((layer, i) => {
    const path = `${i}-${digest(layer).slice(0, 16)}.tar`;
    share(layer, join(folder, path));
    return path;
  });
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify([{ Config: name, RepoTags: [reference], Layers: paths }]));
  pack(folder, ['manifest.json', name, ...paths], output);
}

/** Writes an OCI image layout as one file. */
export function ociArchive(output: string, reference: string, layers: string[], process: ImageProcess): void {
  const folder = `${output}.parts`;
  const blobs = join(folder, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const blob = (text: string, mediaType: string): object => {
    const hex = createHash('sha256').update(text).digest('hex');
    writeFileSync(join(blobs, hex), text);
    return { mediaType, digest: `sha256:${hex}`, size: Buffer.byteLength(text) };
  };
  const config = blob(imageConfig(layers, process), 'application/vnd.oci.image.config.v1+json');
  const parts = layers.map((layer) => {
    const hex = digest(layer);
    share(layer, join(blobs, hex));
    return { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: `sha256:${hex}`, size: statSync(layer).size };
  });
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = blob(JSON.stringify({ schemaVersion: 2, mediaType, config, layers: parts }), mediaType);
  const annotations = { 'org.opencontainers.image.ref.name': reference, 'io.containerd.image.name': reference };
  writeFileSync(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }));
  writeFileSync(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  pack(folder, ['oci-layout', 'index.json', 'blobs'], output);
}
