// What the cell that connects a notebook says.

const LOAD = /^%load_ext\s+rustray\s*$/;
const INIT = /^%rustray\s+init\b(.*)$/;
const NOTHING = /^(#.*)?$/;

/** Whether a cell connects the notebook and does nothing else, so that it may be changed. */
export function connects(source: string): boolean {
  const lines = source.split('\n').map(line => line.trim());
  return (
    lines.some(line => INIT.test(line)) &&
    lines.every(line => LOAD.test(line) || INIT.test(line) || NOTHING.test(line))
  );
}

/** The code of a new cell, or of one that connects already: what it has besides, comments say, stays. */
export function connectingCode(cluster: string, source = '%load_ext rustray\n%rustray init'): string {
  const lines = source.split('\n');
  const inits = lines.filter(line => INIT.test(line.trim()));
  const meant = inits.find(line => INIT.exec(line.trim())![1].split(/[\s=]+/).includes(cluster));
  const init = meant ?? `%rustray init --name ${cluster}`;
  const rest = lines.map(line => (line === inits[0] ? init : line));
  const code = rest.filter((line, at) => !INIT.test(line.trim()) || at === rest.indexOf(init));
  return code.some(line => LOAD.test(line.trim())) ? code.join('\n') : ['%load_ext rustray', ...code].join('\n');
}
