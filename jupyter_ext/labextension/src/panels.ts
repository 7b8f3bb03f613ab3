// The panels of the dashboard: their names, as `rustray.dashboard` knows them, and their titles.

export const PANELS: readonly (readonly [string, string])[] = [
  ['resources', 'Resources'],
  ['tasks', 'Tasks'],
  ['progress', 'Progress'],
  ['queues', 'Queues'],
  ['nodes', 'Nodes'],
  ['store', 'Object store'],
  ['heads', 'Heads'],
  ['network', 'Network']
];
