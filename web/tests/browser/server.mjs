// The program under test on a free port of the loopback interface.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');

export function binaryPath() {
  const wanted = process.env.ONEMAP_BIN;
  const found = wanted ?? ['target/debug/onemap', 'target/release/onemap'].map((path) => join(root, path)).find(existsSync);
  if (!found || !existsSync(found)) throw new Error(`no program to test: build it, or set ONEMAP_BIN (${found ?? 'not set'})`);
  return found;
}

export async function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

export async function serve(binary, workspace, port) {
  const child = spawn(binary, ['serve', workspace, '--listen', `127.0.0.1:${port}`], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', (data) => (log = (log + data).slice(-4000)));
  const origin = `http://127.0.0.1:${port}`;
  for (let tries = 0; ; tries++) {
    if (child.exitCode !== null) throw new Error(`the server stopped with ${child.exitCode}: ${log}`);
    try {
      const response = await fetch(`${origin}/layers.json`);
      if (response.ok) break;
    } catch {
      // Not listening yet.
    }
    if (tries > 300) throw new Error(`the server did not answer: ${log}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return {
    origin,
    async stop() {
      if (child.exitCode !== null) return;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await gone;
      clearTimeout(timer);
    },
  };
}
