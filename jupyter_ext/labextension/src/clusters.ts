// The clusters as the server last told, and what is being done to them.

import { Poll } from '@lumino/polling';
import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';
import { ICluster, IStartOptions, RustRayServer } from './server';

const INTERVAL_MS = 3000;
const SLOWEST_MS = 30000;
const STARTING = 'starting';

export class Clusters implements IDisposable {
  /** The newest last, so that none moves when another comes; null before the first answer. */
  rows: ICluster[] | null = null;
  /** What the user is to know, "" if nothing. */
  problem = '';

  /**
   * @param server - what is asked.
   * @param looking - whether somebody looks: nothing is asked by itself while nobody does.
   */
  constructor(private server: RustRayServer, looking: () => boolean) {
    this._poll = new Poll({
      auto: false,
      factory: () => this.refresh(),
      frequency: { interval: INTERVAL_MS, backoff: true, max: SLOWEST_MS },
      standby: () => !looking()
    });
  }

  /** Something here is new. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._poll.isDisposed;
  }

  dispose(): void {
    this._poll.dispose();
    Signal.clearData(this);
  }

  /** What is being done to a cluster at the moment, "stopping" say; "" if nothing. */
  doing(name: string): string {
    return this._doing.get(name) ?? '';
  }

  /** Those that are being started from here and that the server has not told of yet. */
  coming(): ICluster[] {
    const known = new Set(this.rows?.map(row => row.name));
    return [...this._doing]
      .filter(([name, what]) => what === STARTING && !known.has(name))
      .map(([name]) => ({ name, state: STARTING, remark: '', address: '', started: 0, heads: 0, nodes: 0 }));
  }

  /** Somebody looks from now on. */
  async look(): Promise<void> {
    await this._poll.refresh();
  }

  /** Ask now. Rejects where the server cannot be asked, which is told, for the poll to slow down. */
  async refresh(): Promise<void> {
    try {
      const before = this.rows ?? [];
      this.rows = await this.server.list();
      this._unreachable = this.tell('', this._unreachable);
      this.tellGone(before);
    } catch (error) {
      this._unreachable = this.tell((error as Error).message, true);
      throw error;
    }
  }

  /** Start a cluster; false if it did not come up, and why is told. */
  async start(options: IStartOptions): Promise<boolean> {
    return this.during(options.name, STARTING, () => this.server.start(options));
  }

  async stop(name: string): Promise<boolean> {
    return this.during(name, 'stopping', () => this.server.stop(name));
  }

  async scale(name: string, nodes: number): Promise<boolean> {
    return this.during(name, 'scaling', () => this.server.scale(name, nodes));
  }

  /** Have the user know something. */
  report(problem: string): void {
    this.problem = problem;
    this._changed.emit();
  }

  private async during(name: string, what: string, call: () => Promise<unknown>): Promise<boolean> {
    this._doing.set(name, what);
    this.report('');
    try {
      await call();
      return true;
    } catch (error) {
      this.report((error as Error).message);
      return false;
    } finally {
      await this.refresh().catch(() => undefined); // it has told
      this._doing.delete(name);
      this._changed.emit();
    }
  }

  // Whether the server can be asked goes with what it says next; what an action said stays until it is dismissed.
  private tell(problem: string, replace: boolean): boolean {
    if (replace) {
      this.problem = problem;
    }
    this._changed.emit();
    return problem !== '';
  }

  // Those that have ended and were not stopped from here. One of a notebook's own ends with it, as it is meant to.
  private tellGone(before: ICluster[]): void {
    const here = new Set(this.rows?.map(row => row.name));
    const gone = before.filter(({ name, heads }) => heads > 0 && !here.has(name) && !this._doing.has(name));
    if (gone.length > 0) {
      this.report(gone.map(({ name }) => `The cluster ${name} has ended.`).join(' '));
    }
  }

  private _poll: Poll;
  private _doing = new Map<string, string>();
  private _changed = new Signal<this, void>(this);
  private _unreachable = false;
}
