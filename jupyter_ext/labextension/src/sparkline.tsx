// A line of the last minute, with its name and its last value beside it.

import * as React from 'react';

const WIDTH = 100;
const HEIGHT = 24;
const SPAN_MS = 60000;

interface ISparklineProps {
  name: string;
  /** The last value in words. */
  value: string;
  /** Milliseconds since the epoch. */
  times: number[];
  values: number[];
  /** What fills the height; the largest value if there is no such limit. */
  limit?: number;
}

export function Sparkline(props: ISparklineProps): JSX.Element {
  const points = line(props.times, props.values, props.limit ?? Math.max(...props.values, 1));
  const first = points[0]?.[0] ?? WIDTH;
  const text = points.map(point => point.join(',')).join(' ');
  return (
    <div className={`rr-Sparkline rr-mod-${props.name.toLowerCase()}`}>
      <span className="rr-Sparkline-name">{props.name}</span>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
        {points.length > 1 && (
          <>
            <polygon points={`${first},${HEIGHT} ${text} ${WIDTH},${HEIGHT}`} />
            <polyline points={text} vectorEffect="non-scaling-stroke" />
          </>
        )}
      </svg>
      <span className="rr-Sparkline-value">{props.value}</span>
    </div>
  );
}

// The newest sample is at the right edge, whether or not there is a minute of them.
function line(times: number[], values: number[], limit: number): [number, number][] {
  const end = times[times.length - 1];
  return values
    .map((value, i): [number, number] => [
      round(WIDTH * (1 - (end - times[i]) / SPAN_MS)),
      round(HEIGHT - 1 - (HEIGHT - 2) * Math.min(1, value / (limit || 1)))
    ])
    .filter(([x]) => x >= 0);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
