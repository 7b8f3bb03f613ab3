// Live numbers of one cluster, for as long as somebody looks.

import { IDisposable } from '@lumino/disposable';
import { ISignal, Signal } from '@lumino/signaling';
import { RustRayServer } from './server';

export interface ISummary {
  /** The last minute, oldest first, and what it is at most. */
  samples: {
    /** Milliseconds since the epoch. */
    time: number[];
    /** Percent. */
    cpu: number[];
    /** Bytes. */
    memory: number[];
    memory_total: number[];
    /** A second. */
    tasks: number[];
  };
  /** One row. */
  cluster: { cpus: number[] };
}

const PANEL = 'summary';
const PAUSES_MS = [500, 1000, 2000, 5000];

export class Feed implements IDisposable {
  /** What came last, null before and after the connection. */
  summary: ISummary | null = null;

  constructor(private server: RustRayServer, private cluster: string) {
    this.connect();
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get isDisposed(): boolean {
    return this._disposed;
  }

  dispose(): void {
    this._disposed = true;
    window.clearTimeout(this._pause);
    this._socket?.close();
    Signal.clearData(this);
  }

  private connect(): void {
    this._socket = this.server.live(this.cluster, PANEL);
    this._socket.onmessage = event => {
      this._failed = 0;
      this.show(JSON.parse(event.data)[PANEL]);
    };
    this._socket.onclose = () => {
      if (this._disposed) {
        return;
      }
      this.show(null);
      const pause = PAUSES_MS[Math.min(this._failed++, PAUSES_MS.length - 1)];
      this._pause = window.setTimeout(() => this.connect(), pause);
    };
  }

  private show(summary: ISummary | null): void {
    if (!this._disposed) {
      this.summary = summary;
      this._changed.emit();
    }
  }

  private _socket: WebSocket | null = null;
  private _failed = 0;
  private _pause = 0;
  private _disposed = false;
  private _changed = new Signal<this, void>(this);
}
