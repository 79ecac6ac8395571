"""DifyKV and the example plugin, under the real SDK, against a stand-in for Dify's daemon."""
