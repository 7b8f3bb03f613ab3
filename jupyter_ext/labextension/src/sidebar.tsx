// The panel on the left: all clusters, or how to get one.

import { ReactWidget, refreshIcon, addIcon, UseSignal } from '@jupyterlab/ui-components';
import { Signal } from '@lumino/signaling';
import * as React from 'react';
import { Card, IActions } from './card';
import { Clusters } from './clusters';
import { rustrayIcon } from './icon';
import { RustRayServer } from './server';

export class Sidebar extends ReactWidget {
  constructor(
    private server: RustRayServer,
    private actions: IActions & { start(): void }
  ) {
    super();
    this.id = 'rustray-sidebar';
    this.addClass('rr-Sidebar');
    this.title.icon = rustrayIcon;
    this.title.caption = 'RustRay clusters';
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'RustRay clusters');
    this.clusters = new Clusters(server, () => this.looking);
    document.addEventListener('visibilitychange', this._onLook);
  }

  readonly clusters: Clusters;

  /** Whether the user can see it. */
  get looking(): boolean {
    return this.isVisible && !document.hidden;
  }

  dispose(): void {
    document.removeEventListener('visibilitychange', this._onLook);
    this.clusters.dispose();
    super.dispose();
  }

  protected onAfterShow(): void {
    this._onLook();
  }

  protected onAfterHide(): void {
    this._onLook();
  }

  protected render(): JSX.Element {
    const { clusters } = this;
    return (
      <>
        <div className="rr-Head">
          <h2>RustRay</h2>
          <button className="rr-Icon" title="Start a cluster" aria-label="Start a cluster" onClick={this.actions.start}>
            <addIcon.react tag="span" />
          </button>
          <button className="rr-Icon" title="Look again" aria-label="Look again" onClick={() => void clusters.look()}>
            <refreshIcon.react tag="span" />
          </button>
        </div>
        <UseSignal signal={clusters.changed}>{() => <Problem clusters={clusters} />}</UseSignal>
        <UseSignal signal={clusters.changed}>
          {() => <UseSignal signal={this._looked}>{() => this.list()}</UseSignal>}
        </UseSignal>
      </>
    );
  }

  private list(): JSX.Element | null {
    const { rows } = this.clusters;
    const coming = this.clusters.coming();
    if (rows === null) {
      return null;
    }
    if (rows.length + coming.length === 0) {
      return (
        <div className="rr-Empty">
          <p>No cluster runs.</p>
          <button className="rr-Button rr-mod-main" onClick={this.actions.start}>
            Start a cluster
          </button>
        </div>
      );
    }
    return (
      <div className="rr-List">
        {[...rows, ...coming].map(cluster => (
          <Card
            key={cluster.name}
            cluster={cluster}
            doing={this.clusters.doing(cluster.name)}
            live={this.looking}
            server={this.server}
            actions={this.actions}
          />
        ))}
      </div>
    );
  }

  private _onLook = (): void => {
    this._looked.emit();
    if (this.looking) {
      void this.clusters.look();
    }
  };

  private _looked = new Signal<this, void>(this);
}

function Problem({ clusters }: { clusters: Clusters }): JSX.Element | null {
  return clusters.problem ? (
    <div className="rr-Problem" role="alert">
      <span>{clusters.problem}</span>
      <button className="rr-Icon" aria-label="Dismiss" title="Dismiss" onClick={() => clusters.report('')}>
        ×
      </button>
    </div>
  ) : null;
}
