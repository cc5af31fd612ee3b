// A kubelet's side of the CRI, as far as the tests need it: calls over containerd's socket with the messages of runtime.proto.

import { join } from 'node:path';
import { type Client, credentials, loadPackageDefinition, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

/** A message as a plain object, fields by their names in runtime.proto; enumerations are strings, 64-bit numbers are numbers. */
// biome-ignore lint/suspicious/noExplicitAny: messages are checked by what the tests expect of them
export type Message = Record<string, any>;
type Method = (request: Message, options: { deadline: number }, done: (e: ServiceError | null, answer: Message) => void) => void;

const definition = loadSync(join(import.meta.dirname, 'runtime.proto'), { keepCase: true, longs: Number, enums: String, defaults: true });
/** How long containerd has for one call, in milliseconds. */
const CALL_MS = 60_000;

/** A connection to the CRI plugin. It survives a restart of containerd. */
export class Cri {
  private readonly client: Client & Record<string, Method>;

  constructor(socket: string) {
    const types = loadPackageDefinition(definition) as Message;
    this.client = new types['runtime'].v1.RuntimeService(`unix://${socket}`, credentials.createInsecure(), {
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 500,
    });
  }

  /** Makes a call; a failure is an Error with the server's text. */
  call(method: string, request: Message = {}): Promise<Message> {
    return new Promise((done, fail) => {
      const deadline = Date.now() + CALL_MS;
      this.client[method]?.(request, { deadline }, (e, answer) => {
        if (e === null) done(answer);
        else fail(new Error(`${method}: ${e.details === '' ? e.message : e.details}`));
      });
    });
  }

  /** Runs a command in a container, as a probe does. */
  async exec(id: string, ...cmd: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
    const r = await this.call('ExecSync', { container_id: id, cmd, timeout: 30 });
    return { status: r['exit_code'], stdout: r['stdout'].toString(), stderr: r['stderr'].toString() };
  }

  /** The state of a container. */
  async status(id: string): Promise<Message> {
    return (await this.call('ContainerStatus', { container_id: id }))['status'];
  }

  close(): void {
    this.client.close();
  }
}
