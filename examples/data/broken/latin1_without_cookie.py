café = "crème brûlée"
