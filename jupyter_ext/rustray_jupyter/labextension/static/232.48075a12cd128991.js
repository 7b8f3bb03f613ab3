"use strict";(self.rspackChunk_rustray_jupyterlab_rustray=self.rspackChunk_rustray_jupyterlab_rustray||[]).push([[232],{856(r,e,o){var a=o(601),t=o.n(a),n=o(314),i=(o.n(n))()(t());i.push([r.id,`/* Colours are Lab's own, so that light and dark themes and those of other people suit. */

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

.rr-Sidebar button:disabled {
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

.rr-Sidebar .rr-Button:hover:enabled {
  background: var(--jp-layout-color2);
}

.rr-Sidebar .rr-Button.rr-mod-main {
  border-color: var(--jp-brand-color1);
  color: var(--jp-brand-color1);
}

.rr-Sidebar .rr-Button.rr-mod-stop {
  margin-left: auto;
}

.rr-Sidebar .rr-Button.rr-mod-stop:hover:enabled {
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
`,""]),o.d(e,{},{A:i})},314(r){r.exports=function(r){var e=[];return e.toString=function(){return this.map(function(e){var o="",a=void 0!==e[5];return e[4]&&(o+="@supports (".concat(e[4],") {")),e[2]&&(o+="@media ".concat(e[2]," {")),a&&(o+="@layer".concat(e[5].length>0?" ".concat(e[5]):""," {")),o+=r(e),a&&(o+="}"),e[2]&&(o+="}"),e[4]&&(o+="}"),o}).join("")},e.i=function(r,o,a,t,n){"string"==typeof r&&(r=[[null,r,void 0]]);var i={};if(a)for(var p=0;p<this.length;p++){var l=this[p][0];null!=l&&(i[l]=!0)}for(var d=0;d<r.length;d++){var s=[].concat(r[d]);a&&i[s[0]]||(void 0!==n&&(void 0===s[5]||(s[1]="@layer".concat(s[5].length>0?" ".concat(s[5]):""," {").concat(s[1],"}")),s[5]=n),o&&(s[2]&&(s[1]="@media ".concat(s[2]," {").concat(s[1],"}")),s[2]=o),t&&(s[4]?(s[1]="@supports (".concat(s[4],") {").concat(s[1],"}"),s[4]=t):s[4]="".concat(t)),e.push(s))}},e}},601(r){r.exports=function(r){return r[1]}},72(r){var e=[];function o(r){for(var o=-1,a=0;a<e.length;a++)if(e[a].identifier===r){o=a;break}return o}function a(r,a){for(var t={},n=[],i=0;i<r.length;i++){var p=r[i],l=a.base?p[0]+a.base:p[0],d=t[l]||0,s="".concat(l," ").concat(d);t[l]=d+1;var c=o(s),u={css:p[1],media:p[2],sourceMap:p[3],supports:p[4],layer:p[5]};if(-1!==c)e[c].references++,e[c].updater(u);else{var f=function(r,e){var o=e.domAPI(e);return o.update(r),function(e){e?(e.css!==r.css||e.media!==r.media||e.sourceMap!==r.sourceMap||e.supports!==r.supports||e.layer!==r.layer)&&o.update(r=e):o.remove()}}(u,a);a.byIndex=i,e.splice(i,0,{identifier:s,updater:f,references:1})}n.push(s)}return n}r.exports=function(r,t){var n=a(r=r||[],t=t||{});return function(r){r=r||[];for(var i=0;i<n.length;i++){var p=o(n[i]);e[p].references--}for(var l=a(r,t),d=0;d<n.length;d++){var s=o(n[d]);0===e[s].references&&(e[s].updater(),e.splice(s,1))}n=l}}},659(r){var e={};r.exports=function(r,o){var a=function(r){if(void 0===e[r]){var o=document.querySelector(r);if(window.HTMLIFrameElement&&o instanceof window.HTMLIFrameElement)try{o=o.contentDocument.head}catch(r){o=null}e[r]=o}return e[r]}(r);if(!a)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");a.appendChild(o)}},540(r){r.exports=function(r){var e=document.createElement("style");return r.setAttributes(e,r.attributes),r.insert(e,r.options),e}},56(r,e,o){r.exports=function(r){var e=o.nc;e&&r.setAttribute("nonce",e)}},825(r){r.exports=function(r){if("u"<typeof document)return{update:function(){},remove:function(){}};var e=r.insertStyleElement(r);return{update:function(o){var a,t,n;a="",o.supports&&(a+="@supports (".concat(o.supports,") {")),o.media&&(a+="@media ".concat(o.media," {")),(t=void 0!==o.layer)&&(a+="@layer".concat(o.layer.length>0?" ".concat(o.layer):""," {")),a+=o.css,t&&(a+="}"),o.media&&(a+="}"),o.supports&&(a+="}"),(n=o.sourceMap)&&"u">typeof btoa&&(a+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(n))))," */")),r.styleTagTransform(a,e,r.options)},remove:function(){var r;null===(r=e).parentNode||r.parentNode.removeChild(r)}}}},113(r){r.exports=function(r,e){if(e.styleSheet)e.styleSheet.cssText=r;else{for(;e.firstChild;)e.removeChild(e.firstChild);e.appendChild(document.createTextNode(r))}}},579(r,e,o){var a=o(72),t=o.n(a),n=o(825),i=o.n(n),p=o(659),l=o.n(p),d=o(56),s=o.n(d),c=o(540),u=o.n(c),f=o(113),x=o.n(f),v=o(856),b={};b.styleTagTransform=x(),b.setAttributes=s(),b.insert=l().bind(null,"head"),b.domAPI=i(),b.insertStyleElement=u(),t()(v.A,b),v.A&&v.A.locals&&v.A.locals}}]);