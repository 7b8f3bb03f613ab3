// One cluster in the sidebar.

import { UseSignal } from '@jupyterlab/ui-components';
import * as React from 'react';
import { Feed, ISummary } from './feed';
import { PANELS } from './panels';
import { ICluster, RustRayServer } from './server';
import { Sparkline } from './sparkline';

const GIB = 2 ** 30;

export interface IActions {
  connect(name: string): void;
  open(panel: string, name: string): void;
  scale(name: string, nodes: number): void;
  stop(name: string): void;
}

interface ICardProps {
  cluster: ICluster;
  /** What is being done to it, "" if nothing. */
  doing: string;
  /** Whether somebody looks. */
  live: boolean;
  server: RustRayServer;
  actions: IActions;
}

export function Card({ cluster, doing, live, server, actions }: ICardProps): JSX.Element {
  const { name, state } = cluster;
  const up = state === 'running' || state === 'broken';
  const feed = useFeed(server, name, live && up);
  const label = `rr-cluster-${name}`;
  const node = React.useRef<HTMLElement>(null);
  React.useEffect(() => {
    if (state === 'starting') {
      node.current?.scrollIntoView({ block: 'nearest' });
    }
  }, []);
  React.useLayoutEffect(() => () => leaveFocus(node.current), []);
  return (
    <section className="rr-Card" ref={node} aria-labelledby={label} data-state={doing || state}>
      <header>
        <span className="rr-Card-dot" aria-hidden="true" />
        <h3 id={label} title={name}>
          {name}
        </h3>
        <span className="rr-Card-state" aria-live="polite">
          {doing ? `${doing} …` : state === 'starting' ? 'starting …' : state}
        </span>
      </header>
      <div aria-live="polite">{cluster.remark && <p className="rr-Card-remark">{cluster.remark}</p>}</div>
      {up && (
        <>
          {/* Of a cluster without a node there are no numbers, and the last ones are not true any more. */}
          <Live feed={cluster.nodes > 0 ? feed : null}>
            {summary => (
              <>
                <div className="rr-Card-size">
                  {size(cluster, summary)}
                  {cluster.heads > 0 && <Scale cluster={cluster} busy={doing !== ''} scale={actions.scale} />}
                </div>
                <Numbers summary={summary} />
              </>
            )}
          </Live>
          <div className="rr-Card-row">
            <button
              className="rr-Button rr-mod-main"
              aria-label={`Connect notebook to ${name}`}
              title={`Run a cell in the current notebook that connects it to ${name}`}
              {...unless(doing !== '', () => actions.connect(name))}
            >
              Connect notebook
            </button>
            <button
              className="rr-Button rr-mod-stop"
              aria-label={`Stop ${name}`}
              {...unless(doing !== '', () => actions.stop(name))}
            >
              Stop
            </button>
          </div>
          <div className="rr-Card-panels" role="group" aria-label={`Dashboard of ${name}`}>
            {PANELS.map(([panel, title]) => (
              <button
                key={panel}
                className="rr-Link"
                title={`Open the dashboard panel ${title} of ${name} in a tab`}
                onClick={() => actions.open(panel, name)}
              >
                {title}
              </button>
            ))}
          </div>
        </>
      )}
    </section>
  );
}

// What a button does, but not while the cluster is busy. It keeps the focus meanwhile, which one that is `disabled` loses.
function unless(busy: boolean, act: () => void) {
  return { 'aria-disabled': busy, onClick: () => busy || act() };
}

// The focus of a card that goes is not lost: keys go on from the top of the sidebar.
function leaveFocus(card: HTMLElement | null): void {
  if (card?.contains(document.activeElement)) {
    card.closest('.rr-Sidebar')?.querySelector<HTMLElement>('.rr-Icon')?.focus();
  }
}

// A connection that is opened and closed with `wanted`.
function useFeed(server: RustRayServer, name: string, wanted: boolean): Feed | null {
  const [feed, setFeed] = React.useState<Feed | null>(null);
  React.useEffect(() => {
    if (!wanted) {
      return;
    }
    const opened = new Feed(server, name);
    setFeed(opened);
    return () => {
      opened.dispose();
      setFeed(null);
    };
  }, [server, name, wanted]);
  return feed;
}

// What depends on the last numbers; there are none before the first have come, and while nobody looks.
function Live({ feed, children }: { feed: Feed | null; children: (summary: ISummary | null) => JSX.Element }) {
  return feed ? <UseSignal signal={feed.changed}>{() => children(feed.summary)}</UseSignal> : children(null);
}

function size({ heads, nodes }: ICluster, summary: ISummary | null): JSX.Element {
  const cpus = summary?.cluster.cpus[0];
  const parts = [
    heads > 1 ? `${heads} heads` : '',
    counted(nodes, 'node'),
    cpus === undefined ? '' : counted(cpus, 'CPU')
  ];
  return <span>{parts.filter(Boolean).join(' · ')}</span>;
}

function Numbers({ summary }: { summary: ISummary | null }): JSX.Element {
  const samples = summary?.samples ?? { time: [], cpu: [], memory: [], memory_total: [], tasks: [] };
  const [cpu, memory, total, tasks] = [samples.cpu, samples.memory, samples.memory_total, samples.tasks].map(last);
  return (
    <>
      <Sparkline
        name="CPU"
        value={cpu === undefined ? '–' : `${cpu.toFixed(0)} %`}
        times={samples.time}
        values={samples.cpu}
        limit={100}
      />
      <Sparkline
        name="Memory"
        value={memory === undefined ? '–' : `${gib(memory)} / ${gib(total!)} GiB`}
        times={samples.time}
        values={samples.memory}
        limit={total}
      />
      <Sparkline
        name="Tasks"
        value={tasks === undefined ? '–' : `${rate(tasks)}/s`}
        times={samples.time}
        values={samples.tasks}
      />
    </>
  );
}

interface IScaleProps {
  cluster: ICluster;
  /** Whether something is being done to it. */
  busy: boolean;
  scale: (name: string, nodes: number) => void;
}

function Scale({ cluster: { name, nodes }, busy, scale }: IScaleProps): JSX.Element {
  return (
    <span className="rr-Scale" role="group" aria-label={`Nodes of ${name}`}>
      <button
        className="rr-Button"
        aria-label={`One node less for ${name}`}
        title={nodes > 1 ? 'One node less, once its tasks are done' : 'The last node leaves with Stop'}
        disabled={nodes < 2}
        {...unless(busy, () => scale(name, nodes - 1))}
      >
        −
      </button>
      <button
        className="rr-Button"
        aria-label={`One node more for ${name}`}
        title="One node more"
        {...unless(busy, () => scale(name, nodes + 1))}
      >
        +
      </button>
    </span>
  );
}

function last(values: number[]): number | undefined {
  return values[values.length - 1];
}

function counted(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}

function gib(bytes: number): string {
  return (bytes / GIB).toFixed(bytes < 10 * GIB ? 1 : 0);
}

function rate(value: number): string {
  return value < 9.95 && value > 0 ? value.toFixed(1) : Math.round(value).toLocaleString('en');
}
