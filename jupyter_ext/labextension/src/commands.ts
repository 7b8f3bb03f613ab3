// The commands, for the buttons of the sidebar, the palette and keyboard shortcuts. What an argument does not say is
// asked, where there is a choice.

import { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, InputDialog, showDialog, WidgetTracker } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { Widget } from '@lumino/widgets';
import { connect } from './connect';
import { DashboardTab, tabId } from './dashboard';
import { PANELS } from './panels';
import { ICluster, RustRayServer, Theme } from './server';
import { Sidebar } from './sidebar';
import { askForOptions } from './start_dialog';

export namespace CommandIDs {
  export const show = 'rustray:show';
  export const start = 'rustray:start';
  export const stop = 'rustray:stop';
  export const scale = 'rustray:scale';
  export const connect = 'rustray:connect';
  export const dashboard = 'rustray:dashboard';
}

interface IParts {
  app: JupyterFrontEnd;
  server: RustRayServer;
  sidebar: Sidebar;
  notebooks: INotebookTracker;
  /** Null where the application has no tabs, as Notebook 7: a page is opened beside it then. */
  tabs: WidgetTracker<DashboardTab> | null;
  theme: () => Theme;
}

export function addCommands({ app, server, sidebar, notebooks, tabs, theme }: IParts): void {
  const { commands, shell } = app;
  const { clusters } = sidebar;
  const show = () => shell.activateById(sidebar.id);

  // The cluster that is meant: the argument, the only one, or what the user chooses.
  const chosen = async (args: ReadonlyPartialJSONObject, title: string): Promise<ICluster | null> => {
    try {
      await clusters.refresh();
    } catch {
      show(); // it says why
      return null;
    }
    const rows = clusters.rows ?? [];
    if (typeof args.name === 'string') {
      return rows.find(row => row.name === args.name) ?? null;
    }
    if (rows.length === 0) {
      show();
      clusters.report('No cluster runs. Start one first.');
    }
    return rows.length < 2 ? rows[0] ?? null : await choice(title, rows.map(row => [row, row.name]));
  };

  commands.addCommand(CommandIDs.show, { label: 'Show Clusters', execute: show });

  commands.addCommand(CommandIDs.start, {
    label: 'Start a Cluster…',
    execute: async () => {
      show();
      const options = await askForOptions((clusters.rows ?? []).map(row => row.name));
      return options !== null && (await clusters.start(options));
    }
  });

  commands.addCommand(CommandIDs.stop, {
    label: 'Stop a Cluster…',
    execute: async args => {
      const cluster = await chosen(args, 'Stop a cluster');
      return cluster !== null && (await confirmed(cluster.name)) && (await clusters.stop(cluster.name));
    }
  });

  commands.addCommand(CommandIDs.scale, {
    label: 'Scale a Cluster…',
    execute: async args => {
      const cluster = await chosen(args, 'Scale a cluster');
      if (cluster === null) {
        return false;
      }
      const nodes = typeof args.nodes === 'number' ? args.nodes : await askForNodes(cluster);
      return nodes !== null && (await clusters.scale(cluster.name, nodes));
    }
  });

  commands.addCommand(CommandIDs.connect, {
    label: 'Connect This Notebook to a Cluster',
    execute: async args => {
      const panel = notebooks.currentWidget;
      if (panel === null) {
        show();
        clusters.report('No notebook is open. Open the one that is to be connected, then try again.');
        return;
      }
      clusters.report('');
      const cluster = await chosen(args, 'Connect this notebook to');
      if (cluster !== null) {
        shell.activateById(panel.id);
        await connect(panel, cluster.name);
      }
    }
  });

  commands.addCommand(CommandIDs.dashboard, {
    label: 'Open a Dashboard Panel…',
    execute: async args => {
      const name = typeof args.name === 'string' ? args.name : (await chosen(args, 'Dashboard of'))?.name;
      const panel =
        name && (typeof args.panel === 'string' ? args.panel : await choice('Open the panel', [...PANELS]));
      if (!name || !panel) {
        return;
      }
      if (tabs === null) {
        window.open(server.page(panel, name, theme()), '_blank', 'noopener');
        return;
      }
      const page = { panel, cluster: name };
      let tab = tabs.find(open => open.id === tabId(page));
      if (!tab) {
        tab = new DashboardTab(server, page, theme());
        shell.add(tab, 'main', place(tabs.currentWidget, notebooks.currentWidget));
        await tabs.add(tab);
      }
      shell.activateById(tab.id);
    }
  });
}

// Where a panel is opened: with the one that was used last, else beside the notebook, which stays in view. One that comes
// back with the page Lab puts where it was.
function place(panel: Widget | null, notebook: Widget | null) {
  if (panel) {
    return { mode: 'tab-after', ref: panel.id } as const;
  }
  return notebook ? ({ mode: 'split-right', ref: notebook.id } as const) : {};
}

// One of [value, text] rows; null if the user cancels.
async function choice<T>(title: string, rows: (readonly [T, string])[]): Promise<T | null> {
  const { value } = await InputDialog.getItem({ title, items: rows.map(([, text]) => text) });
  return rows.find(([, text]) => text === value)?.[0] ?? null;
}

async function askForNodes(cluster: ICluster): Promise<number | null> {
  const { value } = await InputDialog.getNumber({ title: `Nodes of ${cluster.name}`, value: cluster.nodes });
  return value;
}

async function confirmed(name: string): Promise<boolean> {
  const { button } = await showDialog({
    title: `Stop the cluster ${name}?`,
    body: 'Its tasks, actors and objects end with it.',
    buttons: [Dialog.cancelButton(), Dialog.warnButton({ label: 'Stop' })]
  });
  return button.accept;
}
