# -*- coding: klingon -*-
qapla = "success"
