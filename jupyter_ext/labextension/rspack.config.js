// Numbers of modules would depend on the folder that the bundle is built in.
module.exports = { optimization: { moduleIds: 'named' } };
