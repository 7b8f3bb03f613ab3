// RustRay's icon: a head and the nodes around it, in the colour of the theme.

import { LabIcon } from '@jupyterlab/ui-components';

export const rustrayIcon = new LabIcon({
  name: 'rustray:icon',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="none" stroke="#616161" stroke-width="2" stroke-linecap="round">
    <path d="M12 9V5.5M14.6 13.5l3 1.75M9.4 13.5l-3 1.75"/>
  </g>
  <g class="jp-icon3" fill="#616161">
    <circle cx="12" cy="12" r="3.2"/>
    <circle cx="12" cy="3.6" r="2.4"/><circle cx="19.6" cy="16.4" r="2.4"/><circle cx="4.4" cy="16.4" r="2.4"/>
  </g>
</svg>`
});
