// What the user is asked before a cluster is started.

import { Dialog, showDialog } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';
import { IStartOptions } from './server';

/**
 * Ask for the options of a new cluster; null if the user cancels.
 *
 * @param taken - the names that cannot be had.
 */
export async function askForOptions(taken: string[]): Promise<IStartOptions | null> {
  const result = await showDialog({
    title: 'Start a cluster',
    body: new StartForm(freeName(taken)),
    buttons: [Dialog.cancelButton(), Dialog.okButton({ label: 'Start' })],
    focusNodeSelector: 'input[name=name]'
  });
  return result.button.accept ? result.value : null;
}

class StartForm extends Widget implements Dialog.IBodyWidget<IStartOptions> {
  constructor(name: string) {
    super();
    this.addClass('rr-Form');
    this.node.innerHTML = `
      <label>Name
        <input name="name" required maxlength="64" pattern="[a-z0-9][a-z0-9_\\-]*" autocomplete="off" spellcheck="false"
          title="small letters, digits, - and _, with a letter or digit first">
      </label>
      <label>Nodes
        <input name="nodes" type="number" min="0" max="100" value="1" required>
      </label>
      <label>CPUs of each node
        <input name="num_cpus" type="number" min="0" step="any" placeholder="those of this machine">
      </label>
      <fieldset>
        <legend>Heads</legend>
        <label><input name="heads" type="radio" value="1" checked> 1</label>
        <label><input name="heads" type="radio" value="3"> 3, of which one may fail</label>
      </fieldset>`;
    this.field('name').value = name;
  }

  getValue(): IStartOptions {
    const cpus = this.field('num_cpus').value;
    return {
      name: this.field('name').value.trim(),
      num_cpus: cpus === '' ? null : Number(cpus),
      heads: Number(this.field('heads', ':checked').value),
      nodes: Number(this.field('nodes').value)
    };
  }

  private field(name: string, which = ''): HTMLInputElement {
    return this.node.querySelector<HTMLInputElement>(`input[name=${name}]${which}`)!;
  }
}

function freeName(taken: string[]): string {
  let name = 'default';
  for (let i = 2; taken.includes(name); i++) {
    name = `default-${i}`;
  }
  return name;
}
