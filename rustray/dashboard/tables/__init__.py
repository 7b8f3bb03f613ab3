"""What panels show, as columns: one module a panel, each a pure function of what the cluster has answered.

A table is {source: columns}, columns of one length. Beside the sources of its figure a panel may have

"values"   what is written above it: "key", "label", "text", "more" and "number" (None where it is not known)
"legend"   "label" and "color"
"note"     "text", one row where there is nothing to draw yet: it is written in place of the figure
"set"      {name of a model: {property: value}}, as the height of a figure that has a row a worker
"""
