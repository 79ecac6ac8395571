"""The plugin's entry point: Dify's daemon starts it with ``python -m main``."""

from dify_plugin import DifyPluginEnv, Plugin

if __name__ == "__main__":
    Plugin(DifyPluginEnv()).run()
