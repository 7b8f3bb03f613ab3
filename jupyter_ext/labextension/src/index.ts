// RustRay in JupyterLab: its sidebar, its commands, the tabs of its dashboard.

import { ILabShell, ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, IThemeManager, WidgetTracker } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { addCommands, CommandIDs } from './commands';
import { DashboardTab } from './dashboard';
import { RustRayServer, Theme } from './server';
import { Sidebar } from './sidebar';

const plugin: JupyterFrontEndPlugin<void> = {
  id: '@rustray/jupyterlab-rustray:plugin',
  description: "RustRay's clusters in a sidebar.",
  autoStart: true,
  requires: [INotebookTracker],
  optional: [ILabShell, ILayoutRestorer, ICommandPalette, IThemeManager],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker,
    shell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    themes: IThemeManager | null
  ) => {
    const { commands } = app;
    const server = new RustRayServer(app.serviceManager.serverSettings);
    const sidebar = new Sidebar(server, {
      start: () => void commands.execute(CommandIDs.start),
      stop: name => void commands.execute(CommandIDs.stop, { name }),
      scale: (name, nodes) => void commands.execute(CommandIDs.scale, { name, nodes }),
      connect: name => void commands.execute(CommandIDs.connect, { name }),
      open: (panel, name) => void commands.execute(CommandIDs.dashboard, { panel, name })
    });
    app.shell.add(sidebar, 'left', { rank: 600 });
    restorer?.add(sidebar, sidebar.id);

    const theme = (): Theme => (themes?.theme && !themes.isLight(themes.theme) ? 'dark' : 'light');
    const tabs = new WidgetTracker<DashboardTab>({ namespace: 'rustray-dashboard' });
    themes?.themeChanged.connect(() => tabs.forEach(tab => tab.content.setTheme(theme())));
    addCommands({ app, server, sidebar, notebooks, theme, tabs: shell && tabs });
    void restorer?.restore(tabs, {
      command: CommandIDs.dashboard,
      args: tab => ({ panel: tab.page.panel, name: tab.page.cluster }),
      name: tab => tab.id
    });
    for (const command of Object.values(CommandIDs)) {
      palette?.addItem({ command, category: 'RustRay' });
    }
  }
};

export default plugin;
