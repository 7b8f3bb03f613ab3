"use strict";(self.rspackChunk_rustray_jupyterlab_rustray=self.rspackChunk_rustray_jupyterlab_rustray||[]).push([[232],{"./node_modules/css-loader/dist/cjs.js!./style/base.css"(r,e,o){var t=o("./node_modules/css-loader/dist/runtime/noSourceMaps.js"),a=o.n(t),n=o("./node_modules/css-loader/dist/runtime/api.js"),i=(o.n(n))()(a());i.push([r.id,`/* Colours are Lab's own, so that light and dark themes and those of other people suit. */

.rr-Sidebar {
  display: flex;
  flex-direction: column;
  overflow-y: auto;
  min-width: 220px;
  background: var(--jp-layout-color1);
  color: var(--jp-ui-font-color1);
  font: var(--jp-ui-font-size1) / 1.4 var(--jp-ui-font-family);
}

.rr-Sidebar button {
  font: inherit;
  color: inherit;
  cursor: pointer;
}

.rr-Sidebar button:focus-visible {
  outline: 2px solid var(--jp-brand-color1);
  outline-offset: 1px;
}

.rr-Sidebar button:is(:disabled, [aria-disabled='true']) {
  opacity: 0.5;
  cursor: default;
}

/* -- above the clusters -- */

.rr-Head {
  display: flex;
  align-items: center;
  padding: 8px 8px 4px 12px;
}

.rr-Head h2 {
  flex: 1;
  margin: 0;
  font-size: var(--jp-ui-font-size0);
  font-weight: 600;
  letter-spacing: 1px;
  text-transform: uppercase;
}

.rr-Sidebar .rr-Icon {
  display: grid;
  place-items: center;
  width: 24px;
  height: 24px;
  padding: 0;
  border: 0;
  border-radius: var(--jp-border-radius);
  background: none;
}

.rr-Sidebar .rr-Icon:hover {
  background: var(--jp-layout-color2);
}

.rr-Icon svg {
  display: block;
}

.rr-Problem {
  display: flex;
  gap: 4px;
  margin: 4px 8px;
  padding: 8px 4px 8px 10px;
  border-left: 3px solid var(--jp-error-color1);
  background: var(--jp-layout-color2);
  overflow-wrap: anywhere;
}

.rr-Problem span {
  flex: 1;
}

.rr-Problem .rr-Icon {
  flex: none;
  margin-top: -3px; /* its sign is beside the first line */
}

.rr-Empty {
  padding: 24px 12px;
  text-align: center;
  color: var(--jp-ui-font-color2);
}

/* -- a cluster -- */

.rr-List {
  display: flex;
  flex-direction: column;
  gap: 8px;
  padding: 4px 8px 12px;
}

.rr-Card {
  padding: 8px 10px;
  border: 1px solid var(--jp-border-color2);
  border-radius: 4px;
}

.rr-Card header {
  display: flex;
  align-items: center;
  gap: 6px;
}

.rr-Card h3 {
  margin: 0;
  font-size: var(--jp-ui-font-size1);
  font-weight: 600;
  overflow: hidden;
  text-overflow: ellipsis;
  white-space: nowrap;
}

.rr-Card-dot {
  flex: none;
  width: 8px;
  height: 8px;
  border-radius: 50%;
  background: var(--jp-warn-color1);
}

.rr-Card[data-state='running'] .rr-Card-dot {
  background: var(--jp-success-color1);
}

.rr-Card[data-state='broken'] .rr-Card-dot {
  background: var(--jp-error-color1);
}

.rr-Card-state {
  flex: 1;
  text-align: right;
  white-space: nowrap;
}

.rr-Card-state,
.rr-Card-size,
.rr-Sparkline-name {
  color: var(--jp-ui-font-color2);
  font-size: var(--jp-ui-font-size0);
}

.rr-Card-remark {
  margin: 6px 0 4px;
  padding: 3px 8px;
  border-left: 3px solid var(--jp-warn-color1);
  background: color-mix(in srgb, var(--jp-warn-color1) 14%, transparent);
  font-size: var(--jp-ui-font-size0);
  overflow-wrap: anywhere;
}

.rr-Card[data-state='broken'] .rr-Card-remark {
  border-color: var(--jp-error-color1);
  background: color-mix(in srgb, var(--jp-error-color1) 14%, transparent);
}

.rr-Card-row {
  display: flex;
  flex-wrap: wrap;
  align-items: center;
  gap: 6px;
  margin-top: 8px;
}

.rr-Sidebar .rr-Button {
  padding: 2px 8px;
  border: 1px solid var(--jp-border-color1);
  border-radius: var(--jp-border-radius);
  background: none;
}

.rr-Sidebar .rr-Button:hover:not(:disabled, [aria-disabled='true']) {
  background: var(--jp-layout-color2);
}

.rr-Sidebar .rr-Button.rr-mod-main {
  border-color: var(--jp-brand-color1);
  color: var(--jp-brand-color1);
}

.rr-Sidebar .rr-Button.rr-mod-stop {
  margin-left: auto;
}

.rr-Sidebar .rr-Button.rr-mod-stop:hover:not(:disabled, [aria-disabled='true']) {
  border-color: var(--jp-error-color1);
  color: var(--jp-error-color1);
}

.rr-Card-size {
  display: flex;
  justify-content: space-between;
  align-items: center;
}

.rr-Scale {
  display: inline-flex;
  gap: 4px;
}

.rr-Sidebar .rr-Scale .rr-Button {
  width: 22px;
  height: 20px;
  padding: 0;
  line-height: 1;
}

.rr-Card-panels {
  display: flex;
  flex-wrap: wrap;
  gap: 2px 10px;
  margin-top: 8px;
}

.rr-Sidebar .rr-Link {
  padding: 0;
  border: 0;
  background: none;
  color: var(--jp-content-link-color);
  font-size: var(--jp-ui-font-size0);
}

.rr-Sidebar .rr-Link:hover {
  text-decoration: underline;
}

/* -- its numbers -- */

.rr-Sparkline {
  display: grid;
  grid-template-columns: 44px 1fr 76px;
  align-items: center;
  gap: 6px;
  margin-top: 4px;
  --rr-color: var(--jp-info-color1);
}

.rr-Sparkline.rr-mod-memory {
  --rr-color: var(--jp-success-color1);
}

.rr-Sparkline.rr-mod-tasks {
  --rr-color: var(--jp-brand-color1);
}

.rr-Sparkline svg {
  width: 100%;
  height: 24px;
  border-bottom: 1px solid var(--jp-border-color3);
}

.rr-Sparkline polyline {
  fill: none;
  stroke: var(--rr-color);
  stroke-width: 1.5;
}

.rr-Sparkline polygon {
  fill: var(--rr-color);
  fill-opacity: 0.2;
}

.rr-Sparkline-value {
  text-align: right;
  white-space: nowrap;
  font-size: var(--jp-ui-font-size0);
  font-variant-numeric: tabular-nums;
}

/* They stand still where no head leads. */
.rr-Card[data-state='broken'] .rr-Sparkline {
  opacity: 0.5;
}

/* -- the dialog -- */

.rr-Form {
  display: flex;
  flex-direction: column;
  gap: 12px;
  min-width: 280px;
}

.rr-Form > label {
  display: flex;
  flex-direction: column;
  gap: 4px;
}

.rr-Form fieldset {
  display: flex;
  gap: 16px;
  margin: 0;
  padding: 0;
  border: 0;
}

.rr-Form legend {
  padding: 0 0 4px;
}

.rr-Form input:not([type='radio']) {
  padding: 4px 8px;
  border: 1px solid var(--jp-border-color1);
  border-radius: var(--jp-border-radius);
  background: var(--jp-layout-color1);
  color: var(--jp-ui-font-color0);
  font: inherit;
}

/* Lab has them fill a line. */
.rr-Form fieldset input {
  appearance: auto;
  width: auto;
  height: auto;
  margin: 0 4px 0 0;
  vertical-align: -1px;
}

.rr-Form input:invalid {
  border-color: var(--jp-error-color1);
}
`,""]),o.d(e,{},{A:i})},"./node_modules/css-loader/dist/runtime/api.js"(r){r.exports=function(r){var e=[];return e.toString=function(){return this.map(function(e){var o="",t=void 0!==e[5];return e[4]&&(o+="@supports (".concat(e[4],") {")),e[2]&&(o+="@media ".concat(e[2]," {")),t&&(o+="@layer".concat(e[5].length>0?" ".concat(e[5]):""," {")),o+=r(e),t&&(o+="}"),e[2]&&(o+="}"),e[4]&&(o+="}"),o}).join("")},e.i=function(r,o,t,a,n){"string"==typeof r&&(r=[[null,r,void 0]]);var i={};if(t)for(var s=0;s<this.length;s++){var l=this[s][0];null!=l&&(i[l]=!0)}for(var d=0;d<r.length;d++){var p=[].concat(r[d]);t&&i[p[0]]||(void 0!==n&&(void 0===p[5]||(p[1]="@layer".concat(p[5].length>0?" ".concat(p[5]):""," {").concat(p[1],"}")),p[5]=n),o&&(p[2]&&(p[1]="@media ".concat(p[2]," {").concat(p[1],"}")),p[2]=o),a&&(p[4]?(p[1]="@supports (".concat(p[4],") {").concat(p[1],"}"),p[4]=a):p[4]="".concat(a)),e.push(p))}},e}},"./node_modules/css-loader/dist/runtime/noSourceMaps.js"(r){r.exports=function(r){return r[1]}},"./node_modules/style-loader/dist/runtime/injectStylesIntoStyleTag.js"(r){var e=[];function o(r){for(var o=-1,t=0;t<e.length;t++)if(e[t].identifier===r){o=t;break}return o}function t(r,t){for(var a={},n=[],i=0;i<r.length;i++){var s=r[i],l=t.base?s[0]+t.base:s[0],d=a[l]||0,p="".concat(l," ").concat(d);a[l]=d+1;var c=o(p),u={css:s[1],media:s[2],sourceMap:s[3],supports:s[4],layer:s[5]};if(-1!==c)e[c].references++,e[c].updater(u);else{var m=function(r,e){var o=e.domAPI(e);return o.update(r),function(e){e?(e.css!==r.css||e.media!==r.media||e.sourceMap!==r.sourceMap||e.supports!==r.supports||e.layer!==r.layer)&&o.update(r=e):o.remove()}}(u,t);t.byIndex=i,e.splice(i,0,{identifier:p,updater:m,references:1})}n.push(p)}return n}r.exports=function(r,a){var n=t(r=r||[],a=a||{});return function(r){r=r||[];for(var i=0;i<n.length;i++){var s=o(n[i]);e[s].references--}for(var l=t(r,a),d=0;d<n.length;d++){var p=o(n[d]);0===e[p].references&&(e[p].updater(),e.splice(p,1))}n=l}}},"./node_modules/style-loader/dist/runtime/insertBySelector.js"(r){var e={};r.exports=function(r,o){var t=function(r){if(void 0===e[r]){var o=document.querySelector(r);if(window.HTMLIFrameElement&&o instanceof window.HTMLIFrameElement)try{o=o.contentDocument.head}catch(r){o=null}e[r]=o}return e[r]}(r);if(!t)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");t.appendChild(o)}},"./node_modules/style-loader/dist/runtime/insertStyleElement.js"(r){r.exports=function(r){var e=document.createElement("style");return r.setAttributes(e,r.attributes),r.insert(e,r.options),e}},"./node_modules/style-loader/dist/runtime/setAttributesWithoutAttributes.js"(r,e,o){r.exports=function(r){var e=o.nc;e&&r.setAttribute("nonce",e)}},"./node_modules/style-loader/dist/runtime/styleDomAPI.js"(r){r.exports=function(r){if("u"<typeof document)return{update:function(){},remove:function(){}};var e=r.insertStyleElement(r);return{update:function(o){var t,a,n;t="",o.supports&&(t+="@supports (".concat(o.supports,") {")),o.media&&(t+="@media ".concat(o.media," {")),(a=void 0!==o.layer)&&(t+="@layer".concat(o.layer.length>0?" ".concat(o.layer):""," {")),t+=o.css,a&&(t+="}"),o.media&&(t+="}"),o.supports&&(t+="}"),(n=o.sourceMap)&&"u">typeof btoa&&(t+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(n))))," */")),r.styleTagTransform(t,e,r.options)},remove:function(){var r;null===(r=e).parentNode||r.parentNode.removeChild(r)}}}},"./node_modules/style-loader/dist/runtime/styleTagTransform.js"(r){r.exports=function(r,e){if(e.styleSheet)e.styleSheet.cssText=r;else{for(;e.firstChild;)e.removeChild(e.firstChild);e.appendChild(document.createTextNode(r))}}},"./style/index.js"(r,e,o){var t=o("./node_modules/style-loader/dist/runtime/injectStylesIntoStyleTag.js"),a=o.n(t),n=o("./node_modules/style-loader/dist/runtime/styleDomAPI.js"),i=o.n(n),s=o("./node_modules/style-loader/dist/runtime/insertBySelector.js"),l=o.n(s),d=o("./node_modules/style-loader/dist/runtime/setAttributesWithoutAttributes.js"),p=o.n(d),c=o("./node_modules/style-loader/dist/runtime/insertStyleElement.js"),u=o.n(c),m=o("./node_modules/style-loader/dist/runtime/styleTagTransform.js"),f=o.n(m),x=o("./node_modules/css-loader/dist/cjs.js!./style/base.css"),b={};b.styleTagTransform=f(),b.setAttributes=p(),b.insert=l().bind(null,"head"),b.domAPI=i(),b.insertStyleElement=u(),a()(x.A,b),x.A&&x.A.locals&&x.A.locals}}]);