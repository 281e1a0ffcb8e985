import { defineConfig } from 'vitest/config';

const server = process.env.ONEMAP_URL ?? 'http://127.0.0.1:8080';

export default defineConfig({
  base: './',
  build: {
    target: 'es2022',
    // MapLibre alone is above the default.
    chunkSizeWarningLimit: 1500,
    rollupOptions: {
      output: {
        // Some servers and proxies do not know .mjs as a script.
        assetFileNames: (asset) =>
          asset.names.some((name) => name.endsWith('.mjs')) ? 'assets/[name]-[hash].js' : 'assets/[name]-[hash][extname]',
      },
    },
  },
  server: {
    host: '127.0.0.1',
    fs: { allow: ['.', '../styles'] },
    proxy: Object.fromEntries(
      ['/layers.json', '/layers/', '/tiles/', '/styles/', '/sprites/'].map((path) => [path, server]),
    ),
  },
  test: { include: ['tests/unit/**/*.test.ts'] },
});
