heart = "\N{NO SUCH CHARACTER}"
