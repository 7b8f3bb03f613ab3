// The cell that connects a notebook to a cluster.

import { NotebookActions, NotebookPanel } from '@jupyterlab/notebook';

const OURS = /^%rustray init\b/m;

/** What the cell says. */
export function connectingCode(cluster: string): string {
  return `%load_ext rustray\n%rustray init --name ${cluster}`;
}

/**
 * Run it in a notebook: in the cell that connected it before, else in a new one before the first cell with code, so that
 * the notebook runs from its top.
 */
export async function connect(panel: NotebookPanel, cluster: string): Promise<void> {
  await panel.context.ready;
  const notebook = panel.content;
  const model = notebook.model!;
  const cells = [...model.cells];
  let index = cells.findIndex(cell => cell.type === 'code' && OURS.test(cell.sharedModel.getSource()));
  if (index < 0) {
    const first = cells.findIndex(cell => cell.type === 'code');
    index = first < 0 ? cells.length : first;
    if (first < 0 || cells[first].sharedModel.getSource().trim() !== '') {
      model.sharedModel.insertCell(index, { cell_type: 'code', source: '', metadata: {} });
    }
  }
  model.cells.get(index).sharedModel.setSource(connectingCode(cluster));
  await panel.sessionContext.ready;
  const cell = notebook.widgets[index];
  void notebook.scrollToCell(cell);
  await NotebookActions.runCells(notebook, [cell], panel.sessionContext);
}
