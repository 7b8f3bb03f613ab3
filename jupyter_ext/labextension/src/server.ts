// What the server extension offers: REST, the addresses of live data and pages, and errors that say what to do.

import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

export interface ICluster {
  name: string;
  state: 'starting' | 'running' | 'broken' | 'stopped';
  /** What it lacks, "1 of 3 heads is down" say; "" if nothing. */
  remark: string;
  address: string;
  /** Seconds since the epoch. */
  started: number;
  /** How many live; 0 where head and node are one process, which ends with its notebook. */
  heads: number;
  nodes: number;
}

export interface IStartOptions {
  name: string;
  /** Of each node; null to count those of the machine. */
  num_cpus: number | null;
  heads: number;
  nodes: number;
}

export type Theme = 'light' | 'dark';

const API = 'rustray/api/clusters';

/** A request that failed; its message is for the user. */
export class RequestError extends Error {}

export class RustRayServer {
  constructor(private settings = ServerConnection.makeSettings()) {}

  async list(): Promise<ICluster[]> {
    return this.request('GET', API);
  }

  async start(options: IStartOptions): Promise<ICluster> {
    return this.request('POST', API, options);
  }

  async stop(name: string): Promise<void> {
    await this.request('DELETE', URLExt.join(API, encodeURIComponent(name)));
  }

  async scale(name: string, nodes: number): Promise<ICluster> {
    return this.request('POST', URLExt.join(API, encodeURIComponent(name), 'scale'), { nodes });
  }

  /** The WebSocket of a cluster with {panel: {source: columns}}, a message each half second or so. */
  live(name: string, panel: string): WebSocket {
    const { wsUrl, token, appendToken } = this.settings;
    const query = { panels: panel, ...(appendToken && token ? { token } : {}) };
    const path = URLExt.join(wsUrl, API, encodeURIComponent(name), 'live');
    return new this.settings.WebSocket(path + URLExt.objectToQueryString(query));
  }

  /** Where the page of a panel is. */
  page(panel: string, cluster: string, theme: Theme): string {
    return URLExt.join(this.settings.baseUrl, pagePath(panel, cluster, theme));
  }

  /** The page itself, as HTML. */
  async pageText(panel: string, cluster: string, theme: Theme): Promise<string> {
    return this.text('GET', pagePath(panel, cluster, theme));
  }

  private async request<T>(method: string, path: string, body?: unknown): Promise<T> {
    return parsed(await this.text(method, path, body)) as T;
  }

  private async text(method: string, path: string, body?: unknown): Promise<string> {
    const url = URLExt.join(this.settings.baseUrl, path);
    const init = { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(url, init, this.settings);
    } catch (error) {
      throw new RequestError('The Jupyter server does not answer. See whether it still runs, or wait for it to be back.');
    }
    const text = await response.text();
    if (response.ok) {
      return text;
    }
    throw new RequestError(advice(response.status, parsed(text)));
  }
}

function pagePath(panel: string, cluster: string, theme: Theme): string {
  return `rustray/dashboard/${encodeURIComponent(panel)}` + URLExt.objectToQueryString({ cluster, theme });
}

function parsed(text: string): unknown {
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null; // a page of a proxy, say; the status tells
  }
}

// Errors of RustRay itself (they have a `reason`) say what to do; those of the server do not.
function advice(status: number, answer: unknown): string {
  const { message, reason } = (answer ?? {}) as { message?: string; reason?: string };
  if (message && reason) {
    return message;
  }
  if (status === 401 || status === 403) {
    return 'The Jupyter server asks for a login. Reload this page to log in again.';
  }
  if (status === 404) {
    return (
      "RustRay's server extension is not loaded. Install rustray into the environment of the Jupyter server, see that " +
      '"jupyter server extension list" has rustray_jupyter, and start the server again.'
    );
  }
  return `The Jupyter server has failed (${status}${message ? `: ${message}` : ''}). Its log says more.`;
}
