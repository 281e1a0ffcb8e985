export const stylesDir: string;
export function build(): Map<string, string | Buffer>;
export function spriteSheet(ratio: number): { image: { width: number; height: number; rgba: Uint8Array }; index: Record<string, unknown> };
