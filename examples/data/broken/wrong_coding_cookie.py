# -*- coding: ascii -*-
name = "Zoë"
