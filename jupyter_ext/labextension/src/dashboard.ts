// A panel of the dashboard as a tab of Lab.

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
    this.node.querySelector('iframe')!.title = title(page);
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

  private load(): void {
    const url = this.server.page(this.page.panel, this.page.cluster, this.theme);
    if (url !== this._loaded) {
      this.url = this._loaded = url;
    }
  }

  private unload(): void {
    this.url = this._loaded = 'about:blank';
  }

  private _loaded = '';
  private _unload = 0;
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
