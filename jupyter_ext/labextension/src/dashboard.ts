// A panel of the dashboard as a tab of Lab.
//
// Its page is fetched and put into a frame as text, for a frame that loads it by its address stays empty behind
// JupyterHub, which lets no page be framed (`frame-ancestors 'none'`): a framed one could be read by other users' pages,
// whose origin is the same. The request that fetches it has the token against forgery, which they do not have.

import { IFrame, MainAreaWidget } from '@jupyterlab/apputils';
import { rustrayIcon } from './icon';
import { PANELS } from './panels';
import { RustRayServer, Theme } from './server';

export interface IPage {
  panel: string;
  cluster: string;
}

/** How long a page that is not seen stays loaded: switching between tabs costs nothing, a forgotten one asks nothing. */
const UNLOAD_MS = 10000;

class Page extends IFrame {
  constructor(
    private server: RustRayServer,
    private page: IPage,
    private theme: Theme
  ) {
    super({ sandbox: ['allow-scripts', 'allow-same-origin'] });
    this._frame = this.node.querySelector('iframe')!;
    this._frame.title = title(page);
  }

  setTheme(theme: Theme): void {
    this.theme = theme;
    if (this.isVisible) {
      this.load();
    } else {
      this.unload();
    }
  }

  dispose(): void {
    window.clearTimeout(this._unload);
    super.dispose();
  }

  protected onAfterAttach(): void {
    if (this.isVisible) {
      this.load();
    }
  }

  protected onAfterShow(): void {
    window.clearTimeout(this._unload);
    this.load();
  }

  protected onAfterHide(): void {
    this._unload = window.setTimeout(() => this.unload(), UNLOAD_MS);
  }

  private async load(): Promise<void> {
    const theme = this.theme;
    if (theme === this._loaded) {
      return;
    }
    this._loaded = theme;
    let text: string | null = null;
    let failure = '';
    try {
      text = await this.server.pageText(this.page.panel, this.page.cluster, theme);
    } catch (error) {
      failure = (error as Error).message;
    }
    if (theme === this._loaded) {
      this._frame.srcdoc = text ?? told(failure, theme);
      this._loaded = text === null ? null : theme; // what has failed is tried again when the tab is seen next
    }
  }

  private unload(): void {
    this._loaded = null;
    this._frame.srcdoc = '';
  }

  private _frame: HTMLIFrameElement;
  private _loaded: Theme | null = null;
  private _unload = 0;
}

/** A page that says this. */
function told(text: string, theme: Theme): string {
  const line = document.createElement('p');
  line.textContent = text;
  return `<!DOCTYPE html><style>:root { color-scheme: ${theme}; }</style>${line.outerHTML}`;
}

export class DashboardTab extends MainAreaWidget<Page> {
  constructor(
    server: RustRayServer,
    readonly page: IPage,
    theme: Theme
  ) {
    super({ content: new Page(server, page, theme) });
    this.id = tabId(page);
    this.title.label = title(page);
    this.title.caption = `RustRay: ${title(page)}`;
    this.title.icon = rustrayIcon;
    this.title.closable = true;
    this.toolbar.hide();
  }
}

export function tabId(page: IPage): string {
  return `rustray-dashboard-${page.cluster}-${page.panel}`;
}

function title({ panel, cluster }: IPage): string {
  return `${PANELS.find(([name]) => name === panel)?.[1] ?? panel} · ${cluster}`;
}
