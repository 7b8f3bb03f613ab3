// The cell that connects a notebook to a cluster.

import { Notification } from '@jupyterlab/apputils';
import { NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import { Kernel } from '@jupyterlab/services';
import { connectingCode, connects } from './connecting_code';

const WAITS = 'The kernel runs a cell. The notebook will be connected when that has ended.';
const TOLD_MS = 10_000;

/**
 * Run it in a notebook: in the cell that does nothing else, if there is one, else in a new one above the first with
 * code, so that the notebook runs from its top. A notebook that is connected stays as it is; that is told.
 */
export async function connect(panel: NotebookPanel, cluster: string): Promise<void> {
  await panel.context.ready;
  await panel.sessionContext.ready;
  const kernel = panel.sessionContext.session?.kernel;
  const already = kernel ? await connected(kernel, cluster) : '';
  if (already) {
    Notification.info(already, { autoClose: TOLD_MS });
    return;
  }
  const notebook = panel.content;
  const model = notebook.model!;
  const cells = [...model.cells].map(cell => (cell.type === 'code' ? cell.sharedModel.getSource() : null));
  let index = cells.findIndex(source => source !== null && connects(source));
  if (index < 0) {
    const first = cells.findIndex(source => source !== null);
    index = first < 0 ? cells.length : first;
    model.sharedModel.insertCell(index, { cell_type: 'code', source: connectingCode(cluster), metadata: {} });
  } else {
    const source = connectingCode(cluster, cells[index]!);
    if (source !== cells[index]) {
      model.cells.get(index).sharedModel.setSource(source);
    }
  }
  const cell = notebook.widgets[index];
  notebook.deselectAll();
  notebook.activeCellIndex = index;
  void notebook.scrollToCell(cell);
  await NotebookActions.runCells(notebook, [cell], panel.sessionContext);
}

// What the kernel is connected to, in words; "" if to nothing. Waits for what it runs.
async function connected(kernel: Kernel.IKernelConnection, cluster: string): Promise<string> {
  const busy = kernel.status === 'busy' ? Notification.info(WAITS, { autoClose: false }) : null;
  const call = `prepare(get_ipython(), ${JSON.stringify(cluster)})`;
  const ask = `__import__('rustray.jupyter.connecting').jupyter.connecting.${call}`;
  try {
    const { content } = await kernel.requestExecute({
      code: '',
      silent: true,
      store_history: false,
      stop_on_error: false,
      user_expressions: { ask }
    }).done;
    // Where the kernel has no RustRay, or cannot be asked, the cell says so.
    const answer = content.status === 'ok' ? (content.user_expressions?.ask as IAnswer | undefined) : undefined;
    return answer?.data?.['text/markdown'] ?? '';
  } finally {
    if (busy) {
      Notification.dismiss(busy);
    }
  }
}

interface IAnswer {
  data?: { 'text/markdown'?: string };
}
